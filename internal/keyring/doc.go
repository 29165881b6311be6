// Package keyring reads the key files that an operator has configured. A key file is a keyset of Tink
// (https://developers.google.com/tink) in JSON and in clear, with one or several AEAD keys, such as `sluice keygen`
// writes and Tink's own tool, tinkey. The first key of several is that which Tink calls primary: it wraps; all that are
// enabled unwrap. The files are read once, at the start.
package keyring
