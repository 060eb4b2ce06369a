package metrics

import "github.com/sluice-go/sluice"

// wireFamilies are what an app tells; a producer fetches nothing.
var (
	wireFamilies     = concat(requestFamilies, fetchedFamilies, producedFamilies, connectionFamilies)
	producerFamilies = concat(requestFamilies, producedFamilies, connectionFamilies)
)

var requestFamilies = []family{
	byRequest("requests_total", "Requests to brokers: round trips, by Kafka's names of them, as Fetch.",
		func(r sluice.RequestTraffic) float64 { return float64(r.Count) }),
	byRequest("requests_failed_total", "Of them, those that had no answer.",
		func(r sluice.RequestTraffic) float64 { return float64(r.Failed) }),
	byRequest("request_duration_seconds_total", "What requests took together; one that fetches waits for records meanwhile.",
		func(r sluice.RequestTraffic) float64 { return r.Took.Seconds() }),
	byRequest("written_bytes_total", "Bytes of requests.", func(r sluice.RequestTraffic) float64 { return float64(r.Written) }),
	byRequest("read_bytes_total", "Bytes of answers.", func(r sluice.RequestTraffic) float64 { return float64(r.Read) }),
}

var fetchedFamilies = batches("fetched", "that were fetched", func(t sluice.Traffic) sluice.BatchTraffic { return t.Fetched })

// producedFamilies are, of an app, those of dead letters, of copies for retry topics, and of what a TransactRoute writes.
var producedFamilies = batches("produced", "that were written", func(t sluice.Traffic) sluice.BatchTraffic { return t.Produced })

var connectionFamilies = []family{
	plain(ofWire, "connects_total", "Connections that were made, or tried to be.", counter,
		func(s *scrape) float64 { return float64(s.traffic.Connects) }),
	plain(ofWire, "connects_failed_total", "Of them, those that failed.", counter,
		func(s *scrape) float64 { return float64(s.traffic.ConnectsFailed) }),
	plain(ofWire, "disconnects_total", "Connections that ended.", counter,
		func(s *scrape) float64 { return float64(s.traffic.Disconnects) }),
	plain(ofWire, "throttled_seconds_total", "For how long brokers held requests back, by quotas.", counter,
		func(s *scrape) float64 { return s.traffic.Throttled.Seconds() }),
}

func byRequest(name, help string, value func(sluice.RequestTraffic) float64) family {
	return family{ofWire, name, help, counter, []string{"request"}, func(s *scrape, out *series) {
		for _, r := range s.traffic.Requests {
			out.add(value(r), r.Kind)
		}
	}}
}

func batches(name, what string, of func(sluice.Traffic) sluice.BatchTraffic) []family {
	count := func(suffix, help string, value func(sluice.BatchTraffic) int64) family {
		return plain(ofWire, name+suffix, help, counter, func(s *scrape) float64 { return float64(value(of(s.traffic))) })
	}
	return []family{
		count("_batches_total", "Batches of records "+what+".", func(b sluice.BatchTraffic) int64 { return b.Batches }),
		count("_records_total", "Records in batches "+what+", markers of transactions among them.",
			func(b sluice.BatchTraffic) int64 { return b.Records }),
		count("_bytes_total", "Bytes of batches "+what+", compressed.", func(b sluice.BatchTraffic) int64 { return b.Bytes }),
		count("_uncompressed_bytes_total", "The same, not compressed.", func(b sluice.BatchTraffic) int64 { return b.Uncompressed }),
	}
}
