package access

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
)

// style is the style sheet of the login page. The page's policy allows only this style, by its
// hash.
const style = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { display: grid; place-content: center; min-height: 90vh; margin: 0; padding: 1rem }
main { width: min(24rem, 90vw) }
h1 { font-size: 1.25rem; font-weight: 600 }
label { display: block; margin-bottom: .25rem }
input, button, a.button { box-sizing: border-box; width: 100%; font: inherit; padding: .5rem .75rem; border: 1px solid GrayText; border-radius: .375rem }
button, a.button { display: block; margin-top: .75rem; text-align: center; text-decoration: none; color: inherit; background: ButtonFace; cursor: pointer }
[role=alert] { border-left: 3px solid; padding-left: .75rem }
`

var pages = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Amends: log in</title>
<style>{{.Style}}</style>
</head>
<body>
<main>
<h1>Amends</h1>
{{with .Arrived}}<p>You are logged in. <a href="{{.}}">Continue</a></p>
{{else}}{{with .Problem}}<p role="alert">{{.}}</p>
{{end}}{{if .OIDC}}<a class="button" href="/auth/oidc?next={{.Next}}">Log in with your account</a>
{{end}}{{if .Token}}<form method="post" action="/auth/login">
<p><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus></p>
<input type="hidden" name="next" value="{{.Next}}">
<button>Log in</button>
</form>
{{end}}{{end}}</main>
</body>
</html>
`))

// pagePolicy is the policy of the login page: it allows only the page's style and form.
var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}()

// content is the data of the page.
type content struct {
	Problem     string
	Next        string
	Arrived     string // set after a login: the path to continue at
	OIDC, Token bool
	Style       template.CSS
}

// page writes the login page with an error message. next is the path to open after the login.
func (a *Access) page(w http.ResponseWriter, status int, next, problem string) {
	a.write(w, status, content{
		Problem: problem, Next: local(next), Token: a.tokens != nil || a.provider != nil,
		OIDC: a.provider != nil && a.config.PublicURL != "",
	})
}

func (a *Access) arrived(w http.ResponseWriter, next string) {
	w.Header().Set("Refresh", "0; url="+next)
	a.write(w, http.StatusOK, content{Arrived: next})
}

func (a *Access) write(w http.ResponseWriter, status int, c content) {
	c.Style = style
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = pages.Execute(w, c) // the client may have disconnected
}
