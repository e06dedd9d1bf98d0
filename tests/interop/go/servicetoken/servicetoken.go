// Package servicetoken signs and verifies service tokens with a mounted join key.
// It needs Go 1.24 or newer, and the standard library alone.
package servicetoken

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	b64     = base64.RawURLEncoding.Strict()
	form    = regexp.MustCompile(`^[\w-]+\.[\w-]+\.[\w-]+$`)
	kidForm = regexp.MustCompile(`^jk-[0-9a-f]{24}$`)
	issForm = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
	invalid = errors.New("the token is not valid")
)

// Member is what a service knows of its cluster. The first key signs, and all of them verify.
type Member struct {
	Keys     [][]byte
	Cluster  string
	Services []string
}

// Header has all header parameters of a service token.
type Header struct {
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	Typ string `json:"typ"`
}

// Claims has the claims that each service token has.
type Claims struct {
	Aud string `json:"aud"`
	Exp int64  `json:"exp"`
	Iat int64  `json:"iat"`
	Iss string `json:"iss"`
	Jti string `json:"jti"`
}

// Load reads the mounted Secret. Call it for each token, or whenever the folder changes.
func Load(folder string) (m Member, err error) {
	current, err := filepath.EvalSymlinks(filepath.Join(folder, "..data")) // kubelet swaps this link
	if err != nil {
		current = folder
	}
	for _, name := range []string{"join-key", "join-key-accepted"} {
		text, err := os.ReadFile(filepath.Join(current, name))
		if errors.Is(err, os.ErrNotExist) && name == "join-key-accepted" {
			continue
		}
		key, hexErr := hex.DecodeString(strings.TrimSpace(string(text)))
		if err = errors.Join(err, hexErr); err != nil {
			return m, err
		}
		m.Keys = append(m.Keys, key)
	}
	cluster, err := os.ReadFile(filepath.Join(current, "cluster-name"))
	m.Cluster = strings.TrimSpace(string(cluster))
	services, _ := os.ReadFile(filepath.Join(current, "services"))
	m.Services = strings.FieldsFunc(strings.TrimSpace(string(services)), func(r rune) bool { return r == ',' })
	return m, err
}

// Sign makes a token of a service for the other services of its cluster.
func Sign(m Member, service string, lifetime time.Duration, now time.Time) string {
	header, _ := json.Marshal(Header{"HS256", KeyID(m.Keys[0]), "service+jwt"})
	iat := now.Unix()
	claims, _ := json.Marshal(Claims{m.Cluster, iat + int64(lifetime.Seconds()), iat, service, rand.Text()})
	text := b64.EncodeToString(header) + "." + b64.EncodeToString(claims)
	return text + "." + b64.EncodeToString(mac(m.Keys[0], text))
}

// Verify returns the claims of a token, or an error if it is not valid.
func Verify(token string, m Member, now time.Time) (c Claims, err error) {
	if len(token) > 8192 || !form.MatchString(token) {
		return c, invalid
	}
	part := strings.Split(token, ".")
	var h Header
	count, err := decode(part[0], map[string]any{"alg": &h.Alg, "kid": &h.Kid, "typ": &h.Typ})
	if err != nil || count != 3 || h.Alg != "HS256" || h.Typ != "service+jwt" || !kidForm.MatchString(h.Kid) {
		return c, invalid
	}
	i := slices.IndexFunc(m.Keys, func(key []byte) bool { return KeyID(key) == h.Kid })
	if i < 0 {
		var local []string
		for _, key := range m.Keys {
			local = append(local, KeyID(key))
		}
		return c, fmt.Errorf("join key mismatch (token kid %s, local kid %s)", h.Kid, strings.Join(local, ", "))
	}
	signature, err := b64.DecodeString(part[2])
	if err != nil || !hmac.Equal(signature, mac(m.Keys[i], part[0]+"."+part[1])) {
		return c, invalid
	}
	claims := map[string]any{"aud": &c.Aud, "exp": &c.Exp, "iat": &c.Iat, "iss": &c.Iss, "jti": &c.Jti}
	if _, err := decode(part[1], claims); err != nil || !c.valid(m, now.Unix()) {
		return Claims{}, invalid
	}
	return c, nil
}

// valid checks the claims of a token whose signature is verified.
func (c Claims) valid(m Member, now int64) bool {
	member := issForm.MatchString(c.Iss)
	if len(m.Services) > 0 {
		member = slices.Contains(m.Services, c.Iss)
	}
	inTime := c.Iat <= now+60 && now < c.Exp && c.Exp-c.Iat > 0 && c.Exp-c.Iat <= 3600
	return member && inTime && c.Iat >= 0 && c.Aud == m.Cluster && len(c.Jti) > 0 && len(c.Jti) <= 64
}

// KeyID returns the fingerprint of a join key: the kid of its tokens.
func KeyID(joinKey []byte) string {
	id, _ := hkdf.Key(sha256.New, joinKey, nil, "tallystick.dev/join-key/fingerprint/v1", 12)
	return "jk-" + hex.EncodeToString(id)
}

func mac(joinKey []byte, text string) []byte {
	key, _ := hkdf.Key(sha256.New, joinKey, nil, "tallystick.dev/join-key/hs256/v1", 32)
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// decode reads members of a JSON object, and returns how many it has.
// Unmarshal into a struct would accept names in another case.
func decode(segment string, into map[string]any) (count int, err error) {
	raw, err := b64.DecodeString(segment)
	if err != nil {
		return 0, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return 0, err
	}
	for name, value := range into {
		if err := json.Unmarshal(members[name], value); err != nil {
			return 0, err
		}
	}
	return len(members), nil
}
