package stream

import (
	"crypto/md5"
	"errors"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func (k HashKey) big() *big.Int {
	n := new(big.Int).SetUint64(k.Hi)
	return n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(k.Lo))
}

func genHashKey() *rapid.Generator[HashKey] {
	word := rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, 1, 9, 10, 99, 100, tenTo19 - 1, tenTo19, tenTo19 + 1, 1 << 63, ^uint64(0)}))
	return rapid.Custom(func(t *rapid.T) HashKey { return HashKey{word.Draw(t, "hi"), word.Draw(t, "lo")} })
}

func TestHashKeysArePrintedAndParsedAsDecimalNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := genHashKey().Draw(t, "key")
		text := k.String()
		if want := k.big().String(); text != want {
			t.Fatalf("%#v is printed as %s, want %s", k, text, want)
		}
		back, err := ParseHashKey(text)
		if err != nil || back != k {
			t.Fatalf("%s is parsed as %v, %v", text, back, err)
		}
	})
}

func TestHashKeyOrderIsNumericOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genHashKey().Draw(t, "a"), genHashKey().Draw(t, "b")
		if got, want := a.Compare(b), a.big().Cmp(b.big()); got != want {
			t.Fatalf("%s against %s: %d, want %d", a, b, got, want)
		}
		if a.Next().Previous() != a || a.Previous().Next() != a {
			t.Fatalf("neighbors of %s", a)
		}
	})
}

func TestHashKeysThatAreNoneAreRefused(t *testing.T) {
	for _, text := range []string{
		"", "00", "01", "-1", "+1", " 1", "1 ", "1e3", "0x1", "one", "١",
		"340282366920938463463374607431768211456", // 2^128
		"999999999999999999999999999999999999999",
		"1000000000000000000000000000000000000000",
		strings.Repeat("9", 1<<20),
	} {
		if k, err := ParseHashKey(text); !errors.Is(err, ErrInvalidHashKey) {
			t.Errorf("%.50q is parsed as %v, %v", text, k, err)
		} else if len(err.Error()) > 1000 {
			t.Errorf("error of %d bytes", len(err.Error()))
		}
	}
	if k, err := ParseHashKey("340282366920938463463374607431768211455"); err != nil || k != MaxHashKey {
		t.Errorf("2^128-1 is parsed as %v, %v", k, err)
	}
	if k, err := ParseHashKey("0"); err != nil || k != (HashKey{}) {
		t.Errorf("0 is parsed as %v, %v", k, err)
	}
}

func TestPartitionKeysHashToTheirMD5(t *testing.T) {
	for _, key := range []string{"a", "partitionKey", "üniö", strings.Repeat("k", 256)} {
		sum := md5.Sum([]byte(key))
		if got, want := HashPartitionKey([]byte(key)).String(), new(big.Int).SetBytes(sum[:]).String(); got != want {
			t.Errorf("%q goes to %s, want %s", key, got, want)
		}
	}
}

func FuzzParseHashKey(f *testing.F) {
	for _, seed := range []string{"0", "1", "00", "340282366920938463463374607431768211455", "340282366920938463463374607431768211456", "-3", "12x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseHashKey(text)
		want, ok := new(big.Int).SetString(text, 10)
		ok = ok && want.String() == text && want.Sign() >= 0 && want.BitLen() <= 128
		if ok != (err == nil) {
			t.Fatalf("%q: %v", text, err)
		}
		if ok && k.big().Cmp(want) != 0 {
			t.Fatalf("%q is parsed as %s", text, k)
		}
	})
}
