package alert

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// DingTalk is a group that is told by a custom robot.
type DingTalk struct {
	Endpoint

	// Secret signs messages, for robots whose security setting is "additional signature". Default: not signed.
	Secret string `json:"-"`
}

const dingTalkBytes = 18_000 // of the 20,000 that a message may have

type markdownBody struct {
	Type     string            `json:"msgtype"`
	Markdown map[string]string `json:"markdown"`
}

// Send implements Sender.
func (d DingTalk) Send(ctx context.Context, m Message) error {
	to, sign, err := d.signed(m.At)
	if err != nil {
		return err
	}
	body := markdownBody{"markdown", map[string]string{"title": m.title(), "text": m.markdown(dingTalkBytes)}}
	answer, err := d.post(ctx, to, body, d.Secret, sign)
	if err != nil {
		return err
	}
	return d.refused(answer, d.Secret, sign)
}

// signed is the address with a signature of the time.
func (d DingTalk) signed(at time.Time) (to, sign string, err error) {
	u, err := url.Parse(d.URL)
	if err != nil {
		return "", "", d.check()
	}
	if d.Secret == "" {
		return u.String(), "", nil
	}
	stamp := strconv.FormatInt(at.UnixMilli(), 10)
	mac := hmac.New(sha256.New, []byte(d.Secret))
	mac.Write([]byte(stamp + "\n" + d.Secret))
	sign = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	q := u.Query()
	q.Set("timestamp", stamp)
	q.Set("sign", sign)
	u.RawQuery = q.Encode()
	return u.String(), sign, nil
}

// GoString is String, without the secret.
func (d DingTalk) GoString() string { return d.String() }

// refused reads an answer of DingTalk or WeCom, whose status is 200 also when it says no.
func (e Endpoint) refused(answer []byte, secrets ...string) error {
	var a struct {
		Code    *int   `json:"errcode"`
		Message string `json:"errmsg"`
	}
	if err := json.Unmarshal(answer, &a); err != nil || a.Code == nil {
		return errors.New(e.String() + ": its answer is none of a robot: is the address right?")
	}
	if *a.Code != 0 {
		return fmt.Errorf("%s: it refuses with %d: %s", e, *a.Code, short(scrub(a.Message, append(secrets, e.secrets()...)), 200))
	}
	return nil
}
