package burrow

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"

	"github.com/sluice-go/sluice/monitor"
)

// Handler answers from what read returns: Monitor.Snapshot. cluster is what the cluster is called; "" is by its ID.
func Handler(read func() *monitor.Snapshot, cluster string) http.Handler {
	host, _ := os.Hostname() // Burrow tells it; nothing depends on it
	h := &handler{read: read, cluster: cluster, host: host}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v3/kafka", h.clusters)
	for path, answer := range map[string]func(*question){
		"":                         (*question).clusterDetail,
		"/topic":                   (*question).topics,
		"/topic/{topic}":           (*question).topicDetail,
		"/topic/{topic}/consumers": (*question).topicConsumers,
		"/consumer":                (*question).consumers,
		"/consumer/{group}":        (*question).consumerDetail,
		"/consumer/{group}/status": func(q *question) { q.status(false) },
		"/consumer/{group}/lag":    func(q *question) { q.status(true) },
	} {
		mux.HandleFunc("GET /v3/kafka/{cluster}"+path, func(w http.ResponseWriter, r *http.Request) {
			q := h.question(w, r)
			if name := q.cluster(); name == "" || r.PathValue("cluster") != name {
				q.notFound("cluster not found")
				return
			}
			answer(q)
		})
	}
	mux.HandleFunc("GET /v3/", func(w http.ResponseWriter, r *http.Request) { h.question(w, r).notFound("invalid request type") })
	return mux
}

// mostPartitions are told of a topic in a list that has a place for each: an answer with a number that is too high would fill the memory.
const mostPartitions = 100_000

type handler struct {
	read          func() *monitor.Snapshot
	cluster, host string
}

// question is one request, which is answered from one snapshot.
type question struct {
	*handler

	w        http.ResponseWriter
	r        *http.Request
	snapshot *monitor.Snapshot
}

func (h *handler) question(w http.ResponseWriter, r *http.Request) *question {
	return &question{h, w, r, h.read()}
}

// cluster is the cluster's name; "" before it is known.
func (q *question) cluster() string {
	if q.handler.cluster != "" {
		return q.handler.cluster
	}
	return q.snapshot.Cluster.ID
}

func (q *question) request() request { return request{q.r.URL.Path, q.host} }

func (q *question) write(status int, body any) {
	q.w.Header().Set("Content-Type", "application/json")
	q.w.WriteHeader(status)
	_ = json.NewEncoder(q.w).Encode(body) //nolint:errchkjson // an error means that nobody reads any more
}

func (q *question) notFound(message string) {
	q.write(http.StatusNotFound, failure{head{true, message}, q.request()})
}

func (h *handler) clusters(w http.ResponseWriter, r *http.Request) {
	q, names := h.question(w, r), []string{}
	if name := q.cluster(); name != "" {
		names = append(names, name)
	}
	q.write(http.StatusOK, clusterList{head{Message: "cluster list returned"}, names, q.request()})
}

func (q *question) clusterDetail() {
	servers := []string{}
	for _, b := range q.snapshot.Cluster.Brokers {
		servers = append(servers, net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))))
	}
	q.write(http.StatusOK, clusterDetail{
		head{Message: "cluster module detail returned"}, clusterModule{ClassName: "kafka", Servers: servers}, q.request(),
	})
}

func (q *question) topics() {
	names := []string{}
	for i := range q.snapshot.Topics {
		names = append(names, q.snapshot.Topics[i].Name)
	}
	q.write(http.StatusOK, topicList{head{Message: "topic list returned"}, names, q.request()})
}

// topicDetail tells the ends of the logs, each at its partition's place; -1 not known.
func (q *question) topicDetail() {
	t, ok := q.snapshot.Topic(q.r.PathValue("topic"))
	if !ok {
		q.notFound("cluster or topic not found")
		return
	}
	ends := []int64{}
	for i := range t.Partitions {
		if n := t.Partitions[i].Partition; n < 0 || n >= mostPartitions {
			continue
		}
		for int(t.Partitions[i].Partition) > len(ends) {
			ends = append(ends, -1)
		}
		ends = append(ends, t.Partitions[i].End)
	}
	q.write(http.StatusOK, topicDetail{head{Message: "topic offsets returned"}, ends, q.request()})
}

func (q *question) topicConsumers() {
	topic, names := q.r.PathValue("topic"), []string{}
	if _, ok := q.snapshot.Topic(topic); !ok {
		q.notFound("cluster or topic not found")
		return
	}
	for i := range q.snapshot.Groups {
		g := &q.snapshot.Groups[i]
		if slices.ContainsFunc(g.Partitions, func(p monitor.Partition) bool { return p.Topic == topic && p.Commit >= 0 }) {
			names = append(names, g.ID)
		}
	}
	q.write(http.StatusOK, consumerList{head{Message: "consumers of topic returned"}, names, q.request()})
}

func (q *question) consumers() {
	names := []string{}
	for i := range q.snapshot.Groups {
		names = append(names, q.snapshot.Groups[i].ID)
	}
	q.write(http.StatusOK, consumerList{head{Message: "consumer list returned"}, names, q.request()})
}

func (q *question) consumerDetail() {
	g, ok := q.snapshot.Group(q.r.PathValue("group"))
	if !ok {
		q.notFound("cluster or consumer not found")
		return
	}
	topics := map[string][]consumerPartition{}
	for i := range g.Partitions {
		p := &g.Partitions[i]
		if p.Commit < 0 || p.Partition < 0 || p.Partition >= mostPartitions {
			continue
		}
		for len(topics[p.Topic]) <= int(p.Partition) {
			topics[p.Topic] = append(topics[p.Topic], consumerPartition{Offsets: []*offset{}})
		}
		one := &topics[p.Topic][p.Partition]
		for _, look := range []monitor.Look{p.First, p.Last} {
			if at := offsetOf(look); at != nil {
				one.Offsets = append(one.Offsets, at)
			}
		}
		one.Owner, one.ClientID = owner(g, p)
		one.CurrentLag = max(p.Lag, 0)
	}
	q.write(http.StatusOK, consumerDetail{head{Message: "consumer detail returned"}, topics, q.request()})
}

// status tells how a group does. As Burrow, it has a whole answer for a group that is not known, with 404.
func (q *question) status(all bool) {
	g, ok := q.snapshot.Group(q.r.PathValue("group"))
	if !ok {
		g = &monitor.Group{ID: q.r.PathValue("group")}
	}
	away := awayOf(q.snapshot, g)
	s, code, message := statusOf(q.cluster(), g, away, all), http.StatusOK, "consumer status returned"
	if s.Count == 0 {
		code = http.StatusNotFound
	}
	if err := unseen(g, away); err != nil {
		message += ", but not all of it can be seen: " + err.Error()
	}
	q.write(code, consumerStatus{head{Message: message}, s, q.request()})
}
