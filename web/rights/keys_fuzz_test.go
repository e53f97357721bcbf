package rights_test

import (
	"log/slog"
	"testing"

	"weir/web/rights"
)

// A file of keys is accepted or refused, whatever is in it.
func FuzzKeys(f *testing.F) {
	for _, text := range []string{
		`{"keys":[{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","kid":"a"}]}`,
		`{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`,
		`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`,
		"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"[]", "null", "",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := rights.New(rights.Options{Keys: write(t, text), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return
		}
		if _, denial := r.Holder(request("e30.e30."), rights.Subscribe, "t"); denial == nil {
			t.Errorf("with the keys %q a token without a signature is accepted", text)
		}
	})
}
