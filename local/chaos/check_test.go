package chaos_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/local/awsfake"
	"github.com/millrace/millrace/local/chaos"
	"github.com/millrace/millrace/shared/eventsource"
)

// faulty is a small recommender that keeps its promises, but for one.
type faulty struct {
	fault       string
	o           chaos.Outcome
	invocations int
}

func (f *faulty) invoke(_ context.Context, event []byte) ([]byte, error) {
	var batch events.KinesisEvent
	if err := json.Unmarshal(event, &batch); err != nil {
		return nil, err
	}
	f.invocations++
	trace := fmt.Sprint("invocation ", f.invocations)
	f.o.Invocations[trace] = time.Now()
	time.Sleep(time.Second)
	version := f.o.Activations[len(f.o.Activations)-1].Version
	if f.fault == "answers by the model it began with" {
		version = f.o.Activations[0].Version
	}
	for _, r := range batch.Records {
		var e struct {
			N                   int
			User, Session, Item string
		}
		if json.Unmarshal(r.Kinesis.Data, &e) != nil {
			if f.fault != "forgets what is bad" {
				f.o.Quarantine[r.EventID] = fmt.Appendf(nil, `{"event_id":%q}`, r.EventID)
			}
			continue
		}
		n, id, recommendation, version, remembered := e.N, r.EventID, r.EventID+version, version, 1
		activity := chaos.Remembered{User: e.User, EventID: r.EventID, Session: e.Session, At: r.Kinesis.ApproximateArrivalTimestamp.Time, Items: e.Item + " 1 false"}
		odd := n%7 == 3
		switch {
		case odd && f.fault == "loses an answer":
			continue
		case odd && f.fault == "fails for ever":
			return nil, errors.New("panic")
		case odd && f.fault == "gives a repeated event another id":
			id += ":again"
		case odd && f.fault == "invents":
			n = 9999
		case odd && f.fault == "mixes versions":
			version = "v0"
		case odd && f.fault == "recommends at random":
			recommendation = trace
		case odd && f.fault == "remembers twice":
			remembered = 2
		case odd && f.fault == "forgets a user's event":
			remembered = 0
		case odd && f.fault == "remembers another item":
			activity.Items = "another 1 false"
		case odd && f.fault == "remembers another session":
			activity.Session = ""
		case odd && f.fault == "remembers another user":
			activity.User = "another"
		case odd && f.fault == "remembers another time":
			activity.At = time.Now()
		}
		f.o.Lines = append(f.o.Lines, awsfake.Line{Invocation: trace, Text: fmt.Appendf(nil,
			`{"n":%d,"event_id":%q,"recommendation_id":%q,"model_version":%q,"recommended_items":[{}]}`+"\n", n, id, recommendation, version)})
		for range remembered {
			f.o.Activity = append(f.o.Activity, activity)
		}
	}
	return nil, nil
}

func TestTheCheckerFindsWhatAFaultyRecommenderDoes(t *testing.T) {
	t.Parallel()
	for fault, found := range map[string]func(chaos.Verdict) *int{
		"":                                   nil,
		"loses an answer":                    func(v chaos.Verdict) *int { return &v.Lost },
		"forgets what is bad":                func(v chaos.Verdict) *int { return &v.Lost },
		"forgets a user's event":             func(v chaos.Verdict) *int { return &v.Lost },
		"invents":                            func(v chaos.Verdict) *int { return &v.Phantom },
		"gives a repeated event another id":  func(v chaos.Verdict) *int { return &v.Duplicates },
		"remembers another item":             func(v chaos.Verdict) *int { return &v.Phantom },
		"remembers another session":          func(v chaos.Verdict) *int { return &v.Phantom },
		"remembers another user":             func(v chaos.Verdict) *int { return &v.Phantom },
		"remembers another time":             func(v chaos.Verdict) *int { return &v.Phantom },
		"remembers twice":                    func(v chaos.Verdict) *int { return &v.Duplicates },
		"recommends at random":               func(v chaos.Verdict) *int { return &v.Duplicates },
		"mixes versions":                     func(v chaos.Verdict) *int { return &v.Mixed },
		"answers by the model it began with": func(v chaos.Verdict) *int { return &v.Regressed },
		"fails for ever":                     func(v chaos.Verdict) *int { return &v.Stuck },
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &faulty{fault: fault, o: chaos.Outcome{
				Quarantine: map[string][]byte{}, Invocations: map[string]time.Time{}, Activations: []chaos.Activation{{Version: "v0", At: time.Now()}},
			}}
			s := eventsource.NewStream(1)
			p := eventsource.Poller{
				Stream: s, Mapping: eventsource.Mapping{BatchSize: 10, ParallelizationFactor: 1, MaximumRetryAttempts: 2, MaximumRecordAgeInSeconds: -1},
				Function: f.invoke, Pause: func(int) time.Duration { return time.Second }, Repeat: func() bool { return true },
				OnFailure: func(d eventsource.Discarded) { f.o.GivenUp += len(d.Records) },
			}
			for n := range 50 {
				text, valid := fmt.Appendf(nil, `{"n":%d,"user":"u","session":"s","item":"i"}`, n), n%10 != 0
				if !valid {
					text = []byte("{")
				}
				shard, sequence := s.Put("u", text)
				f.o.Sent = append(f.o.Sent, chaos.Sent{ID: shard + ":" + sequence, N: n, User: "u", Valid: valid, Session: "s", Items: "i 1 false", From: time.Now(), To: time.Now()})
			}
			ctx, cancel := context.WithCancel(t.Context())
			stopped := make(chan struct{})
			go func() { p.Run(ctx); close(stopped) }()
			for p.Done() < s.Len() {
				time.Sleep(3500 * time.Millisecond)
				f.o.Activations = append(f.o.Activations, chaos.Activation{Version: fmt.Sprint("v", len(f.o.Activations)), At: time.Now()})
			}
			cancel()
			<-stopped
			if fault != "remembers twice" {
				f.o.Activity = unique(f.o.Activity) // as a primary key does
			}
			v := chaos.Check(f.o)
			if found == nil {
				require.False(t, v.Broken(), "%v %v", v, v.Examples)
				return
			}
			require.Positive(t, *found(v), "a recommender that %s: %v", fault, v)
			require.NotEmpty(t, v.Examples)
		})
	}
}

func unique(list []chaos.Remembered) (all []chaos.Remembered) {
	seen := map[string]bool{}
	for _, r := range list {
		if key := r.User + " " + r.EventID; !seen[key] {
			seen[key], all = true, append(all, r)
		}
	}
	return all
}
