package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

var (
	b64       = base64.RawURLEncoding.Strict()
	notSealed = errors.New("not a sealed join key")
)

// openSealed decrypts a sealed join key with its master key. It returns the text of the join key.
func openSealed(jwe string, masterKey []byte) (string, error) {
	part := strings.Split(jwe, ".")
	// encoding/base64 skips line ends, also in its strict form.
	if strings.ContainsAny(jwe, "\r\n") || len(part) != 5 || part[1] != "" {
		return "", notSealed
	}
	var h struct{ Alg, Enc, Kid, Typ string }
	raw, err := b64.DecodeString(part[0])
	if err != nil || json.Unmarshal(raw, &h) != nil || h.Alg != "dir" || h.Typ != "join-key+jwe" {
		return "", notSealed
	}
	if own := masterKeyID(masterKey); h.Kid != own {
		return "", fmt.Errorf("encrypted join key was made with master key %s, this service has %s", h.Kid, own)
	}
	if h.Enc != fmt.Sprintf("A%dGCM", len(masterKey)*8) {
		return "", notSealed
	}
	block, err := aes.NewCipher(masterKey)
	if err != nil {
		return "", err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return "", err
	}
	iv, errIV := b64.DecodeString(part[2])
	ciphertext, errText := b64.DecodeString(part[3])
	tag, errTag := b64.DecodeString(part[4])
	if errors.Join(errIV, errText, errTag) != nil || len(iv) != 12 || len(tag) != 16 {
		return "", notSealed
	}
	opened, err := gcm.Open(nil, iv, append(ciphertext, tag...), []byte(part[0]))
	if err != nil {
		return "", notSealed
	}
	return string(opened), nil
}

func masterKeyID(key []byte) string {
	id, _ := hkdf.Key(sha256.New, key, nil, "tallystick.dev/master-key/fingerprint/v1", 12)
	return "mk-" + hex.EncodeToString(id)
}
