package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/firehose/types"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/delivery"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/vectorstore"
)

// figureStore loads n items around a thousand points, and 500 users who bought a hundred each.
func figureStore(t *testing.T, n int) (string, *vectorstore.Store, *dataset.Dataset) {
	shop, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	at := postgrestest.Database(t)
	store, err := vectorstore.Open(t.Context(), vectorstore.URL(at))
	require.NoError(t, err)
	t.Cleanup(store.Close)
	require.NoError(t, store.Migrate(t.Context()))
	random := rand.New(rand.NewPCG(1, 2))
	centres := make([]float32, 1000*figureDimension)
	for k := range centres {
		centres[k] = float32(random.NormFloat64() * .1)
	}
	vector := func() []float32 {
		v := slices.Clone(centres[random.IntN(1000)*figureDimension:][:figureDimension])
		for k := range v {
			v[k] += float32(random.NormFloat64() * .05)
		}
		return v
	}
	embeddings := make([]float32, 0, n*figureDimension)
	for range n {
		embeddings = append(embeddings, vector()...)
	}
	regression, err := features.Fit([]features.Field{{Name: "country", Kind: features.Category}},
		[]features.Record{{"country": "France"}, {"country": "France"}, {"country": "Peru"}, {"country": "Peru"}},
		slices.Concat(vector(), vector(), vector(), vector()), figureDimension)
	require.NoError(t, err)
	var encoder bytes.Buffer
	require.NoError(t, features.WriteEncoder(&encoder, &features.Encoder{
		Format: features.EncoderFormat, Version: "v", Dimension: figureDimension, Alpha0: .01, Lambda: .01, WeightUnit: 1, Items: n, Users: 500,
		Gramian: als.Gramian(embeddings, figureDimension), MeanUser: vector(), UserSide: &regression, Decay: .6,
	}))
	_, err = store.Load(t.Context(), vectorstore.Model{
		Version: "v", Dataset: "classicmodels", Run: "1", ManifestKey: "k", ManifestSHA256: "s", Dimension: figureDimension, Distance: "inner_product",
		Encoder: encoder.Bytes(), Metrics: []byte(`{}`), ItemCount: int64(n), UserCount: 500,
		Items: func(yield func(vectorstore.Entity, error) bool) {
			for k := range n {
				if !yield(vectorstore.Entity{ID: fmt.Sprintf("S%07d", k), Name: fmt.Sprint("Item ", k), Embedding: embeddings[k*figureDimension:][:figureDimension],
					Bias: float32(k % 97), Features: map[string]string{"quantityInStock": fmt.Sprint(k % 20), "productLine": fmt.Sprint("line ", k%7)}}, nil) {
					return
				}
			}
		},
		Users: func(yield func(vectorstore.Entity, error) bool) {
			ids := make([]string, 500)
			for u := range ids {
				ids[u] = fmt.Sprint(u)
			}
			slices.Sort(ids)
			for u, id := range ids {
				e := vectorstore.Entity{ID: id, Embedding: vector()}
				for k := range 100 {
					e.Bought = append(e.Bought, int32(k*n/100+u%(n/100)))
				}
				if !yield(e, nil) {
					return
				}
			}
		},
	})
	require.NoError(t, err)
	if n < 50_000 { // where the loader would make no index
		postgrestest.Exec(t, at, `set maintenance_work_mem = '512MB'; create index on millrace.item_v1 using hnsw (embedding vector_ip_ops);
			create index on millrace.item_v1 using hnsw (embedding vector_cosine_ops); analyze millrace.item_v1`)
	}
	return at, store, shop
}

// emulatedFirehose makes a delivery stream in the emulator that AWS_ENDPOINT_URL names.
func emulatedFirehose(t *testing.T) recordSink {
	require.NotEmpty(t, os.Getenv("AWS_ENDPOINT_URL"), "make bench-stream sets it")
	cloud, err := awsconfig.LoadDefaultConfig(t.Context())
	require.NoError(t, err)
	client := firehose.NewFromConfig(cloud)
	name := fmt.Sprint("bench-", time.Now().UnixNano())
	_, err = client.CreateDeliveryStream(t.Context(), &firehose.CreateDeliveryStreamInput{
		DeliveryStreamName: aws.String(name), DeliveryStreamType: types.DeliveryStreamTypeDirectPut,
		ExtendedS3DestinationConfiguration: &types.ExtendedS3DestinationConfiguration{
			BucketARN: aws.String("arn:aws:s3:::bench"), RoleARN: aws.String("arn:aws:iam::000000000000:role/bench"),
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := client.DeleteDeliveryStream(context.Background(), &firehose.DeleteDeliveryStreamInput{DeliveryStreamName: aws.String(name)})
		require.NoError(t, err)
	})
	return delivery.New(client, name, delivery.Wait, rand.Float64)
}

// coldStarts runs the function's program against a runtime of one invocation, and says how long it took from its start to its answer.
func coldStarts(t *testing.T, program, database string, items int) (took []time.Duration) {
	at, err := url.Parse(database)
	require.NoError(t, err)
	password, _ := at.User.Password()
	secret, err := json.Marshal(map[string]string{"host": at.Hostname(), "port": at.Port(), "username": at.User.Username(), "password": password, "dbname": at.Path[1:], "sslmode": "disable"})
	require.NoError(t, err)
	batch, err := json.Marshal(events.KinesisEvent{Records: []events.KinesisEventRecord{{
		EventSource: "aws:kinesis", EventID: "shardId-000000000000:49660",
		Kinesis: events.KinesisRecord{Data: figureEvent(rand.New(rand.NewPCG(1, 1)), items), SequenceNumber: "49660", ApproximateArrivalTimestamp: events.SecondsEpochTime{Time: time.Now()}},
	}}})
	require.NoError(t, err)
	for range 5 {
		answered := make(chan string, 1)
		asked := false
		mux := http.NewServeMux()
		mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
			if asked {
				<-r.Context().Done()
				return
			}
			asked = true
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "1")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()))
			_, _ = w.Write(batch)
		})
		mux.HandleFunc("POST /2018-06-01/runtime/", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			answered <- r.URL.Path + " " + string(body)
			w.WriteHeader(http.StatusAccepted)
		})
		mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "GetSecretValue") {
				text, _ := json.Marshal(string(secret))
				fmt.Fprintf(w, `{"ARN":"a","Name":"n","SecretString":%s}`, text)
				return
			}
			fmt.Fprint(w, `{"FailedPutCount":0,"RequestResponses":[{"RecordId":"1"}]}`)
		})
		server := httptest.NewServer(mux)
		cmd := exec.Command(program)
		cmd.Env = append(os.Environ(), "AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(server.URL, "http://"), "AWS_ENDPOINT_URL="+server.URL,
			"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1024",
			"LAKE_BUCKET=bench", "POSTGRES_SECRET_ARN=arn", "RECOMMENDATION_STREAM_NAME=bench", "LOG_LEVEL=error")
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		start := time.Now()
		require.NoError(t, cmd.Start())
		select {
		case answer := <-answered:
			took = append(took, time.Since(start))
			require.Contains(t, answer, "/response ", said.String())
			require.NotContains(t, answer, "itemIdentifier", said.String())
		case <-time.After(time.Minute):
			t.Error("no answer within a minute: " + said.String())
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		server.CloseClientConnections()
		server.Close()
	}
	return took
}
