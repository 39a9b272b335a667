package functionurl_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/functionurl"
)

// event is a request as AWS sends it (payload format 2.0).
func event(t *testing.T, method, path, query, body string, encoded bool) events.LambdaFunctionURLRequest {
	t.Helper()
	var e events.LambdaFunctionURLRequest
	require.NoError(t, json.Unmarshal(fmt.Appendf(nil, `{"version":"2.0","rawPath":%q,"rawQueryString":%q,"cookies":["a=1","b=2"],
		"headers":{"content-type":"application/json","x-many":"1,2"},"body":%q,"isBase64Encoded":%t,
		"requestContext":{"domainName":"id.lambda-url.eu-west-1.on.aws","http":{"method":%q,"path":%q,"sourceIp":"192.0.2.1"}}}`,
		path, query, body, encoded, method, path), &e))
	return e
}

func serve(t *testing.T, e events.LambdaFunctionURLRequest, h http.HandlerFunc) events.LambdaFunctionURLResponse {
	t.Helper()
	out, err := functionurl.Handler(h)(context.Background(), e)
	require.NoError(t, err)
	return out
}

func TestAPathThatIsNoURLsIsTheHandlersToRefuse(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/{id}/recommendations", func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "100%\x00", r.PathValue("id"))
		require.Equal(t, "3", r.URL.Query().Get("limit"))
		w.WriteHeader(http.StatusBadRequest)
	})
	var e events.LambdaFunctionURLRequest
	e.RawPath, e.RawQueryString, e.RequestContext.DomainName, e.RequestContext.HTTP.Method = "/users/100%\x00/recommendations", "limit=3", "id.lambda-url.eu-west-1.on.aws", "GET"
	require.Equal(t, http.StatusBadRequest, serve(t, e, mux.ServeHTTP).StatusCode)
}

func TestHandlerSeesTheRequestAsItWasSent(t *testing.T) {
	t.Parallel()
	body := `{"city":"Zürich"}`
	for name, e := range map[string]events.LambdaFunctionURLRequest{
		"text":   event(t, "POST", "/users/a%2Fb/recommendations", "k=3&q=%C3%BC", body, false),
		"base64": event(t, "POST", "/users/a%2Fb/recommendations", "k=3&q=%C3%BC", base64.StdEncoding.EncodeToString([]byte(body)), true),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mux := http.NewServeMux()
			served := false
			mux.HandleFunc("POST /users/{id}/recommendations", func(_ http.ResponseWriter, r *http.Request) {
				served = true
				got, err := io.ReadAll(r.Body)
				require.NoError(t, err)
				require.Equal(t, body, string(got))
				require.Equal(t, "a/b", r.PathValue("id"), "an escaped slash belongs to the id")
				require.Equal(t, "ü", r.URL.Query().Get("q"))
				require.Equal(t, "application/json", r.Header.Get("Content-Type"))
				require.Equal(t, "id.lambda-url.eu-west-1.on.aws", r.Host)
				require.Equal(t, "192.0.2.1", r.RemoteAddr)
				cookie, err := r.Cookie("b")
				require.NoError(t, err)
				require.Equal(t, "2", cookie.Value)
				require.EqualValues(t, len(body), r.ContentLength)
			})
			require.Equal(t, 200, serve(t, e, mux.ServeHTTP).StatusCode)
			require.True(t, served)
		})
	}
}

func TestCallerGetsStatusHeadersAndBody(t *testing.T) {
	t.Parallel()
	out := serve(t, event(t, "GET", "/", "", "", false), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Add("Vary", "a")
		w.Header().Add("Vary", "b")
		http.SetCookie(w, &http.Cookie{Name: "c", Value: "3"})
		w.WriteHeader(http.StatusNotFound)
		w.Header().Set("Late", "not sent")
		w.WriteHeader(http.StatusOK)
		fmt.Fprint(w, `{"title":"no user Zoë"}`)
	})
	require.Equal(t, events.LambdaFunctionURLResponse{
		StatusCode: 404,
		Headers:    map[string]string{"Content-Type": "application/problem+json", "Vary": "a, b"},
		Cookies:    []string{"c=3"},
		Body:       `{"title":"no user Zoë"}`,
	}, out)
}

func TestBytesThatAreNotTextSurvive(t *testing.T) {
	t.Parallel()
	sent := []byte{0x1f, 0x8b, 0xff, 0x00}
	out := serve(t, event(t, "GET", "/", "", "", false), func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(sent)
		require.NoError(t, err)
	})
	require.True(t, out.IsBase64Encoded)
	got, err := base64.StdEncoding.DecodeString(out.Body)
	require.NoError(t, err)
	require.Equal(t, sent, got)
	require.Equal(t, 200, out.StatusCode)
	require.NotEmpty(t, out.Headers["Content-Type"])
}

func TestEventThatIsNoRequestIsAnError(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]events.LambdaFunctionURLRequest{
		"body is not base64": event(t, "POST", "/", "", "%%%", true),
		"bad method":         event(t, "G T", "/", "", "", false),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := functionurl.Handler(http.NotFoundHandler())(context.Background(), e)
			require.ErrorContains(t, err, "function URL event")
		})
	}
}
