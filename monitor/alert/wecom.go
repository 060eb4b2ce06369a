package alert

import "context"

// WeCom is a group of WeCom (WeChat Work) that is told by a group robot.
type WeCom struct {
	Endpoint
}

const weComBytes = 4096 // that a message may have

// Send implements Sender.
func (w *WeCom) Send(ctx context.Context, m Message) error {
	answer, err := w.post(ctx, w.URL, markdownBody{"markdown", map[string]string{"content": m.markdown(weComBytes)}})
	if err != nil {
		return err
	}
	return w.refused(answer)
}
