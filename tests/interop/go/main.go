// The program answers questions about tokens and keys: a JSON list on standard input, a list of answers on standard output.
package main

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"time"

	"tallystick.dev/interop/servicetoken"
)

type question struct {
	Op, Token, Sealed, Key, Kind, Cluster, Service, Folder string
	Keys, Services                                         []string
	Now                                                    int64
}

func main() {
	var questions []question
	if err := json.NewDecoder(os.Stdin).Decode(&questions); err != nil {
		panic(err)
	}
	answers := make([]map[string]any, len(questions))
	for i, q := range questions {
		result, err := answer(q)
		if err != nil {
			answers[i] = map[string]any{"error": err.Error()}
		} else {
			answers[i] = map[string]any{"result": result}
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		panic(err)
	}
}

func answer(q question) (any, error) {
	now := time.Unix(q.Now, 0)
	switch q.Op {
	case "sign":
		return servicetoken.Sign(member(q), q.Service, 300*time.Second, now), nil
	case "verify":
		return servicetoken.Verify(q.Token, member(q), now)
	case "load":
		m, err := servicetoken.Load(q.Folder)
		if err != nil {
			return nil, err
		}
		return servicetoken.Sign(m, q.Service, 300*time.Second, now), nil
	case "open":
		return openSealed(q.Sealed, unhex(q.Key))
	default:
		if q.Kind == "join" {
			return servicetoken.KeyID(unhex(q.Key)), nil
		}
		return masterKeyID(unhex(q.Key)), nil
	}
}

func member(q question) (m servicetoken.Member) {
	for _, key := range q.Keys {
		m.Keys = append(m.Keys, unhex(key))
	}
	m.Cluster, m.Services = q.Cluster, q.Services
	return m
}

func unhex(text string) []byte {
	raw, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return raw
}
