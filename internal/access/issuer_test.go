package access_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// issuer is an OpenID Connect provider with discovery, keys, and the code flow with PKCE.
type issuer struct {
	*httptest.Server

	key *rsa.PrivateKey

	mu     sync.Mutex
	logins map[string]url.Values // parameters of the request, by code
	claims map[string]any        // claims of the user who logs in
	spoil  func(map[string]any)  // changes the claims before they are signed
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := newIssuerHere(t)
	i.URL = "" // set by Start
	i.Start()
	return i
}

// newIssuerHere returns an issuer that is called directly, without a network.
func newIssuerHere(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key, logins: map[string]url.Values{}, spoil: func(map[string]any) {}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		code := rand.Text()
		i.mu.Lock()
		i.logins[code] = query
		i.mu.Unlock()
		http.Redirect(w, r, query.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {query.Get("state")}}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("POST /token", i.token)
	i.Server = httptest.NewUnstartedServer(mux)
	i.URL = "http://" + i.Listener.Addr().String()
	t.Cleanup(i.Close)
	return i
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (i *issuer) token(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	asked, ok := i.logins[r.PostFormValue("code")]
	delete(i.logins, r.PostFormValue("code"))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || asked.Get("code_challenge_method") != "S256" || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	claims := maps.Clone(i.claims)
	claims["nonce"] = asked.Get("nonce")
	i.spoil(claims)
	answer(w, map[string]any{"access_token": "opaque", "token_type": "Bearer", "id_token": i.sign(claims)})
}

// person returns the claims of a user.
func (i *issuer) person(sub string, roles ...string) map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": i.URL, "aud": "amends", "sub": sub, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"email": sub + "@example.com", "email_verified": true, "roles": roles,
	}
}

func (i *issuer) sign(claims map[string]any) string {
	return signWith(jose.SigningKey{Algorithm: jose.RS256, Key: i.key}, claims)
}

func signWith(key jose.SigningKey, claims map[string]any) string {
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithHeader("kid", "k1").WithType("JWT"))
	if err != nil {
		panic(err)
	}
	data, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	object, err := signer.Sign(data)
	if err != nil {
		panic(err)
	}
	text, err := object.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return text
}

// unsigned returns a token with the algorithm "none".
func unsigned(claims map[string]any) string {
	data, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return strings.Join([]string{encoded([]byte(`{"alg":"none","typ":"JWT"}`)), encoded(data), ""}, ".")
}

func encoded(part []byte) string { return base64.RawURLEncoding.EncodeToString(part) }
