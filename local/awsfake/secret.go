package awsfake

import (
	"encoding/json"
	"net/http"
)

// Secret is what Secrets Manager has under every name.
type Secret string

// ServeHTTP answers GetSecretValue: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
func (s Secret) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" {
		fail(w, http.StatusBadRequest, "InvalidRequestException", "want GetSecretValue")
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(map[string]string{"ARN": "arn", "Name": "postgres", "SecretString": string(s)}) // to a client that is gone
}
