package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
)

// keyID names a derived key.
type keyID struct {
	accessKey string
	scope     scope
}

// key computes signatures with one derived key. Its pool holds hashes that have the key worked in already.
type key struct{ pool sync.Pool }

func newKey(secret [32]byte) *key {
	return &key{sync.Pool{New: func() any { return hmac.New(sha256.New, secret[:]) }}}
}

func (k *key) appendSum(dst, text []byte) []byte {
	mac := k.pool.Get().(hash.Hash)
	mac.Reset()
	mac.Write(text)
	dst = mac.Sum(dst)
	k.pool.Put(mac)
	return dst
}

// maxKeys bounds the key cache. A key is good for a day and a region.
const maxKeys = 256

// keyCache holds derived keys, so that a request costs one HMAC and not five.
type keyCache struct {
	mu   sync.RWMutex
	keys map[keyID]*key // at most maxKeys
}

func (c *keyCache) get(id keyID) (*key, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	k, ok := c.keys[id]
	return k, ok
}

func (c *keyCache) put(id keyID, k *key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil || len(c.keys) >= maxKeys {
		c.keys = map[keyID]*key{} // yesterday's keys, most likely
	}
	c.keys[id] = k
}
