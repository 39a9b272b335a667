// Package functionurl serves an http.Handler behind a Lambda function URL in its buffered mode.
//
// aws-lambda-go's own adapter, lambdaurl, needs the mode RESPONSE_STREAM, which function URLs "do not support … within a VPC
// environment" (AWS Lambda Developer Guide, Response streaming), where a function with a database usually is.
package functionurl

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// Handler is what lambda.Start takes to serve h. A response is held in memory whole; Lambda bounds it to 6 MB.
func Handler(h http.Handler) func(context.Context, events.LambdaFunctionURLRequest) (events.LambdaFunctionURLResponse, error) {
	return func(ctx context.Context, e events.LambdaFunctionURLRequest) (events.LambdaFunctionURLResponse, error) {
		r, err := request(ctx, e)
		if err != nil {
			return events.LambdaFunctionURLResponse{}, err
		}
		w := &response{header: http.Header{}}
		h.ServeHTTP(w, r)
		return w.result(), nil
	}
}

func request(ctx context.Context, e events.LambdaFunctionURLRequest) (*http.Request, error) {
	var body io.Reader = strings.NewReader(e.Body)
	if e.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(e.Body)
		if err != nil {
			return nil, fmt.Errorf("function URL event: body: %w", err)
		}
		body = bytes.NewReader(decoded)
	}
	target := "https://" + e.RequestContext.DomainName + e.RawPath
	if e.RawQueryString != "" {
		target += "?" + e.RawQueryString
	}
	r, err := http.NewRequestWithContext(ctx, e.RequestContext.HTTP.Method, target, body)
	if err != nil { // a path that is no URL's, as if it had come decoded: it is the handler's to refuse
		if r, err = http.NewRequestWithContext(ctx, e.RequestContext.HTTP.Method, "https://"+e.RequestContext.DomainName, body); err != nil {
			return nil, fmt.Errorf("function URL event: %w", err)
		}
		r.URL.Path, r.URL.RawQuery = e.RawPath, e.RawQueryString
	}
	r.RequestURI = r.URL.RequestURI()
	r.RemoteAddr = e.RequestContext.HTTP.SourceIP
	for name, value := range e.Headers { // several values of one name come joined by commas
		r.Header.Set(name, value)
	}
	for _, cookie := range e.Cookies {
		r.Header.Add("Cookie", cookie)
	}
	return r, nil
}

// response collects what a handler writes.
type response struct {
	header http.Header
	status int
	sent   http.Header // the header as it was when the status was written; what is set later is not sent, as in net/http
	body   bytes.Buffer
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) {
	if w.status != 0 || status < 200 { // informational responses have no place in a buffered answer
		return
	}
	w.status, w.sent = status, w.header.Clone()
}

func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		if w.header.Get("Content-Type") == "" {
			w.header.Set("Content-Type", http.DetectContentType(p))
		}
		w.WriteHeader(http.StatusOK)
	}
	return w.body.Write(p)
}

func (w *response) result() events.LambdaFunctionURLResponse {
	w.WriteHeader(http.StatusOK) // if the handler wrote nothing
	out := events.LambdaFunctionURLResponse{
		StatusCode: w.status,
		Headers:    map[string]string{},
		Cookies:    w.sent.Values("Set-Cookie"),
	}
	for name, values := range w.sent {
		if name != "Set-Cookie" {
			out.Headers[name] = strings.Join(values, ", ")
		}
	}
	if out.Body = w.body.String(); !utf8.ValidString(out.Body) {
		out.Body, out.IsBase64Encoded = base64.StdEncoding.EncodeToString(w.body.Bytes()), true
	}
	return out
}
