package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/shared/activemodel"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/recommend"
	"github.com/millrace/millrace/shared/vectorstore"
)

// api answers from the active model and puts events into the stream.
type api struct {
	names      dataset.Event
	models     *activemodel.Cache
	store      activityReader
	stream     eventStream
	streamName string
	now        func() time.Time
	wait       func(context.Context, time.Duration) error
	random     func() float64
}

// activityReader is what is read of the database beside the model.
type activityReader interface {
	Recent(ctx context.Context, user string, since time.Time, atMost int) ([]vectorstore.Past, error)
	Versions(ctx context.Context) ([]vectorstore.Version, error)
	LatestExperiment(ctx context.Context) (vectorstore.Experiment, error)
}

const (
	defaultLimit = recommend.ListLength
	maxLimit     = 100 // more is an export: SQL over item_emb gives that
	// What a user looked at fades by half a day after day (package foldin); after a week less than a hundredth is left.
	remembered = 7 * 24 * time.Hour
	// Of a longer history only the latest items weigh anything.
	remembers = 20
)

// Handler is the API. Every error is application/problem+json.
func (a *api) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range []struct {
		method, path string
		answer       func(http.ResponseWriter, *http.Request) error
	}{
		{http.MethodGet, "/users/{id}/recommendations", a.recommendations},
		{http.MethodGet, "/items/{id}/similar", a.similar},
		{http.MethodGet, "/models", a.versions},
		{http.MethodPost, "/events", a.events},
	} {
		mux.Handle(r.method+" "+r.path, endpoint(r.answer))
		mux.Handle(r.path, endpoint(func(w http.ResponseWriter, q *http.Request) error {
			w.Header().Set("Allow", r.method)
			return &problem{Status: http.StatusMethodNotAllowed, Detail: fmt.Sprintf("%s takes %s, not %s.", r.path, r.method, q.Method)}
		}))
	}
	mux.Handle("/", endpoint(func(_ http.ResponseWriter, q *http.Request) error {
		return &problem{Status: http.StatusNotFound,
			Detail: fmt.Sprintf("There is no %q. There are GET /users/{id}/recommendations, GET /items/{id}/similar, GET /models and POST /events.", q.URL.Path)}
	}))
	return mux
}

type item struct {
	ID          string  `json:"id"`
	Name        string  `json:"name"`
	Score       float32 `json:"score"`
	Why         string  `json:"why"`               // what the score is owed to most: see recommend.OneOfSession
	Because     string  `json:"because,omitempty"` // the item of the session, if it is that
	BecauseName string  `json:"because_name,omitempty"`
}

func (a *api) recommendations(w http.ResponseWriter, q *http.Request) error {
	limit, err := limit(q)
	if err != nil {
		return err
	}
	user, err := id(q)
	if err != nil {
		return err
	}
	model, answer, err := a.answer(q.Context(), user, limit)
	if err != nil {
		return err
	}
	items := []item{}
	for _, i := range answer.Items {
		items = append(items, item{i.ID, i.Name, i.Score, i.Why, i.Because, i.BecauseName})
	}
	return writeJSON(w, http.StatusOK, struct {
		User         string    `json:"user"`
		Items        []item    `json:"recommended_items"`
		Strategy     string    `json:"strategy"`
		ModelVersion string    `json:"model_version"`
		GeneratedAt  time.Time `json:"generated_at"`
	}{user, items, answer.Strategy, model.Version, a.now().UTC()})
}

// answer recommends what suits the user, or, when the database is down and a model is cached, what is popular.
func (a *api) answer(ctx context.Context, user string, limit int) (*activemodel.Model, recommend.Answer, error) {
	model, answer, err := a.ask(ctx, user, limit)
	if errors.Is(err, vectorstore.ErrGone) { // two new versions since the pointer was read: read it again
		model, answer, err = a.ask(ctx, user, limit)
	}
	if last := a.models.Last(); last != nil && silent(err) {
		slog.ErrorContext(ctx, "the database does not answer: recommended what is popular", "model", last.Version, "error", err)
		return last, last.Popular([]recommend.Request{{Limit: limit}})[0], nil
	}
	return model, answer, err
}

// silent says that the database did not answer, as opposed to answering with an error.
func silent(err error) bool {
	return vectorstore.Unreachable(err) || errors.Is(err, context.DeadlineExceeded)
}

func (a *api) ask(ctx context.Context, user string, limit int) (*activemodel.Model, recommend.Answer, error) {
	model, request, err := a.request(ctx, user)
	if err != nil {
		return nil, recommend.Answer{}, err
	}
	request.Limit = limit
	answers, err := model.Answers(ctx, []recommend.Request{request})
	if err != nil {
		return nil, recommend.Answer{}, err
	}
	return model, answers[0], nil
}

// request collects what is known of a user: the trained vector, and what the latest sessions were about.
func (a *api) request(ctx context.Context, user string) (*activemodel.Model, recommend.Request, error) {
	serving, err := a.models.Serving(ctx)
	if err != nil {
		return nil, recommend.Request{}, err
	}
	model, _ := serving.For(user)
	users, err := model.Users(ctx, []string{user})
	if err != nil {
		return nil, recommend.Request{}, err
	}
	now := a.now()
	seen, err := a.store.Recent(ctx, user, now.Add(-remembered), remembers)
	if err != nil {
		return nil, recommend.Request{}, err
	}
	r := recommend.Request{User: users[user]}
	for _, s := range seen {
		r.History = append(r.History, event.Entry{Item: s.Item, Quantity: s.Quantity, InCart: s.InCart, Age: now.Sub(s.At)})
	}
	return model, r, nil
}

type near struct {
	ID       string  `json:"id"`
	Name     string  `json:"name"`
	Distance float32 `json:"distance"`
}

func (a *api) similar(w http.ResponseWriter, q *http.Request) error {
	limit, err := limit(q)
	if err != nil {
		return err
	}
	id, err := id(q)
	if err != nil {
		return err
	}
	model, err := a.anyModel(q.Context())
	if err != nil {
		return err
	}
	name, list, known, err := model.Similar(q.Context(), id, limit)
	if err != nil {
		return err
	}
	if !known {
		return &problem{Status: http.StatusNotFound, Detail: fmt.Sprintf("Item %q is not in model %s: either the shop has no such item, "+
			"or it is newer than the batch the model was trained on (the next night's knows it). Identifiers are case-sensitive.", id, model.Version)}
	}
	items := []near{}
	for _, n := range list {
		items = append(items, near{n.ID, n.Name, n.Distance})
	}
	return writeJSON(w, http.StatusOK, struct {
		Item         string `json:"item"`
		Name         string `json:"name"`
		Items        []near `json:"similar_items"`
		ModelVersion string `json:"model_version"`
	}{id, name, items, model.Version})
}

// anyModel is the active one or, when the database is down, the one that was: similar items need nothing but a model.
func (a *api) anyModel(ctx context.Context) (*activemodel.Model, error) {
	serving, err := a.models.Serving(ctx)
	if err == nil {
		return serving.Default(), nil
	}
	if last := a.models.Last(); last != nil && silent(err) {
		slog.ErrorContext(ctx, "the database does not answer: similar items from the cached model", "model", last.Version, "error", err)
		return last, nil
	}
	return nil, err
}

// versions answers with all versions, and with the experiment if one runs: then its two serve.
func (a *api) versions(w http.ResponseWriter, q *http.Request) error {
	answer := struct {
		Models     []vectorstore.Version   `json:"models"`
		Experiment *vectorstore.Experiment `json:"experiment,omitempty"`
	}{Models: []vectorstore.Version{}}
	list, err := a.store.Versions(q.Context())
	if err != nil {
		return err
	}
	answer.Models = append(answer.Models, list...)
	e, err := a.store.LatestExperiment(q.Context())
	if err != nil && !errors.Is(err, vectorstore.ErrNoExperiment) {
		return err
	}
	if err == nil && e.StoppedAt == nil {
		answer.Experiment = &e
	}
	return writeJSON(w, http.StatusOK, answer)
}

func id(q *http.Request) (string, error) {
	id := q.PathValue("id")
	if !utf8.ValidString(id) || strings.ContainsRune(id, 0) {
		return "", &problem{Status: http.StatusBadRequest, Detail: fmt.Sprintf("The id %q is not UTF-8, or contains U+0000.", id)}
	}
	return id, nil
}

func limit(q *http.Request) (int, error) {
	text := q.URL.Query().Get("limit")
	if text == "" {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit {
		return 0, &problem{Status: http.StatusBadRequest, Detail: fmt.Sprintf("limit is %q: want a number from 1 to %d.", text, maxLimit)}
	}
	return n, nil
}
