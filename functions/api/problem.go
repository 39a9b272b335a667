package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"

	"github.com/millrace/millrace/shared/run"
	"github.com/millrace/millrace/shared/vectorstore"
)

// problem is an error for the caller: RFC 9457 with the type about:blank, whose title is the status' own words.
type problem struct {
	Status int
	Detail string
	More   map[string]any // extension members
}

func (p *problem) Error() string { return p.Detail }

// endpoint turns an answer's error into a problem. The caller learns what to do; what went wrong inside is logged.
func endpoint(answer func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		ctx, cancel := run.WithRespite(q.Context())
		defer cancel()
		q = q.WithContext(ctx)
		err := answer(w, q)
		if err == nil {
			return
		}
		var p *problem
		switch {
		case errors.As(err, &p):
		case errors.Is(err, vectorstore.ErrNoModel):
			p = &problem{Status: http.StatusServiceUnavailable, Detail: "No model has been loaded yet: the first nightly batch has to finish (millrace status shows it)."}
		default:
			slog.ErrorContext(q.Context(), "request failed", "method", q.Method, "pattern", q.Pattern, "error", err)
			p = &problem{Status: http.StatusServiceUnavailable, Detail: "The database could not be reached, or not in time: try again in a moment."}
		}
		if p.Status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "2")
		}
		body := map[string]any{"type": "about:blank", "title": http.StatusText(p.Status), "status": p.Status, "detail": p.Detail}
		maps.Copy(body, p.More)
		if err := write(w, p.Status, "application/problem+json", body); err != nil {
			slog.ErrorContext(q.Context(), "problem not encoded", "error", err)
		}
	})
}

func writeJSON(w http.ResponseWriter, status int, body any) error {
	return write(w, status, "application/json", body)
}

func write(w http.ResponseWriter, status int, contentType string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	if _, err := w.Write(append(text, '\n')); err != nil {
		slog.Warn("the caller has gone", "error", err) // the status is sent: a problem cannot follow
	}
	return nil
}
