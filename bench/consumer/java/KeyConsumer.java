import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Consumes a topic with Confluent's Parallel Consumer, ordered by key, with a handler that sleeps for some milliseconds or does nothing.
 * Arguments: brokers, topic, group, workers, handler ms, warm-up ms, window ms. Prints one JSON object: the records that were handled in the
 * window, its nanoseconds, the processor's, and the most memory that the
 * process had.
 */
public final class KeyConsumer {
    public static void main(String[] args) throws Exception {
        long takes = Long.parseLong(args[4]);
        Properties properties = new Properties();
        properties.put("bootstrap.servers", args[0]);
        properties.put("group.id", args[2]);
        properties.put("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", "false");
        properties.put("isolation.level", "read_committed");
        var consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        var options = ParallelConsumerOptions.<byte[], byte[]>builder()
                .consumer(consumer)
                .ordering(ParallelConsumerOptions.ProcessingOrder.KEY)
                .maxConcurrency(Integer.parseInt(args[3]))
                .build();
        var handled = new LongAdder();
        var processor = ParallelStreamProcessor.createEosStreamProcessor(options);
        processor.subscribe(List.of(args[1]));
        processor.poll(context -> {
            if (takes > 0) {
                try {
                    Thread.sleep(takes);
                } catch (InterruptedException e) {
                    throw new IllegalStateException(e);
                }
            }
            handled.increment();
        });
        for (int i = 0; handled.sum() == 0; i++) {
            if (i == 30_000) {
                throw new IllegalStateException("no record came within 30 s");
            }
            Thread.sleep(1);
        }
        Thread.sleep(Long.parseLong(args[5]));
        var machine = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        long first = handled.sum(), from = System.nanoTime(), cpu = machine.getProcessCpuTime();
        Thread.sleep(Long.parseLong(args[6]));
        long n = handled.sum() - first, took = System.nanoTime() - from, used = machine.getProcessCpuTime() - cpu;
        long peak = 0; // KiB
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmHWM:")) {
                peak = Long.parseLong(line.replaceAll("[^0-9]", ""));
            }
        }
        System.out.printf("{\"records\":%d,\"nanos\":%d,\"cpu_nanos\":%d,\"peak_kib\":%d}%n", n, took, used, peak);
        System.out.flush();
        Runtime.getRuntime().halt(0); // a drain of what is queued is not measured
    }
}
