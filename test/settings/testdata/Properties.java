import java.util.TreeMap;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.config.ConfigDef;

/** Prints name, type and default of each public property of Kafka's consumers and producers. */
public class Properties {
    public static void main(String[] args) {
        print(ConsumerConfig.configDef());
        print(ProducerConfig.configDef());
    }

    private static void print(ConfigDef all) {
        for (ConfigDef.ConfigKey key : new TreeMap<>(all.configKeys()).values()) {
            if (key.internalConfig) {
                continue;
            }
            String value = key.hasDefault() ? String.valueOf(key.defaultValue) : "<required>";
            System.out.println(key.name + "\t" + key.type + "\t" + value);
        }
    }
}
