// foreign-verifier verifies a token with the published keys alone, as a service that trusts Tallystick would.
//
//	foreign-verifier -jwks-url URL -ca FILE -issuer URL -audience URL -typ at+jwt -now 1893499200 < token
//
// The token comes on standard input, for a command line can be read by others. It prints one JSON object: what was
// verified, or the class of what was wrong; the exit status is 0 for a token that is good, 1 for one that is not, and
// 2 where nothing could be judged.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	largestDocument = 1 << 20
	patience        = 10 * time.Second
)

// verdict is what is printed.
type verdict struct {
	Valid  bool           `json:"valid"`
	Reason string         `json:"reason,omitempty"`
	Alg    string         `json:"alg,omitempty"`
	Kid    string         `json:"kid,omitempty"`
	Typ    string         `json:"typ,omitempty"`
	Claims map[string]any `json:"claims,omitempty"`
}

// wanted is what a token must be: all of it is given, nothing is taken from the token.
type wanted struct {
	issuer, audience, typ string
	now                   time.Time
}

func main() {
	jwksURL := flag.String("jwks-url", "", "where the keys are published")
	jwksFile := flag.String("jwks", "", "a file with the keys, in place of -jwks-url")
	caFile := flag.String("ca", "", "the authority of the URL's certificate")
	issuer := flag.String("issuer", "", "the iss that is accepted")
	audience := flag.String("audience", "", "the aud that is accepted")
	typ := flag.String("typ", "", "the typ that is accepted")
	now := flag.Int64("now", time.Now().Unix(), "the time, in seconds since the epoch")
	flag.Parse()

	keys, err := readKeys(*jwksFile, *jwksURL, *caFile)
	if err != nil {
		fail(fmt.Errorf("the keys cannot be read: %w", err))
	}
	token, err := io.ReadAll(io.LimitReader(os.Stdin, largestDocument))
	if err != nil {
		fail(err)
	}
	found := verify(strings.TrimSpace(string(token)), keys, wanted{*issuer, *audience, *typ, time.Unix(*now, 0)})
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		fail(err)
	}
	if !found.Valid {
		os.Exit(1)
	}
}

func verify(compact string, keys *jose.JSONWebKeySet, want wanted) verdict {
	token, err := jwt.ParseSigned(compact, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil || len(token.Headers) != 1 {
		return refused("malformed")
	}
	header := token.Headers[0]
	if typ, _ := header.ExtraHeaders[jose.HeaderType].(string); typ != want.typ {
		return refused("typ")
	}
	found := keys.Key(header.KeyID)
	if len(found) != 1 {
		return refused("unknown key")
	}
	// RFC 8725 3.1: the key says which algorithm it is for, the token only repeats it.
	if found[0].Algorithm != header.Algorithm || found[0].Use != "sig" {
		return refused("algorithm")
	}
	var registered jwt.Claims
	var all map[string]any
	if err := token.Claims(found[0].Key, &registered, &all); err != nil {
		return refused("signature")
	}
	expected := jwt.Expected{Issuer: want.issuer, AnyAudience: jwt.Audience{want.audience}, Time: want.now}
	if reason := reasonOf(registered.ValidateWithLeeway(expected, 0)); reason != "" {
		return refused(reason)
	}
	if registered.Expiry == nil {
		return refused("exp")
	}
	return verdict{Valid: true, Alg: header.Algorithm, Kid: header.KeyID, Typ: want.typ, Claims: all}
}

func reasonOf(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, jwt.ErrExpired):
		return "expired"
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return "iss"
	case errors.Is(err, jwt.ErrInvalidAudience):
		return "aud"
	default:
		return "claims"
	}
}

func refused(reason string) verdict {
	return verdict{Reason: reason}
}

func readKeys(file, url, caFile string) (*jose.JSONWebKeySet, error) {
	raw, err := readDocument(file, url, caFile)
	if err != nil {
		return nil, err
	}
	var keys jose.JSONWebKeySet
	return &keys, json.Unmarshal(raw, &keys)
}

func readDocument(file, url, caFile string) ([]byte, error) {
	if file != "" {
		return os.ReadFile(file)
	}
	authority, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, errors.New("the authority is no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	client := &http.Client{Timeout: patience, Transport: transport}
	answer, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, errors.New(answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, largestDocument))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "error:", err)
	os.Exit(2)
}
