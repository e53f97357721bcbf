// Command app is a small application on Weir: people log in, begin runs of a job,
// watch them in any browser, and abort them. Its page speaks with Weir; what is here
// is the login, and the worker. It keeps nothing: killed and begun again, it goes on.
//
//	openssl genpkey -algorithm ed25519 -out key.pem && openssl pkey -in key.pem -pubout -out keys.pem
//	export WEIR_PUBLISH_TOKEN=s3cret WEIR_SUBSCRIBE_TOKEN=s3cret APP_TOKEN=s3cret
//	weir -jwt-keys keys.pem -source jobs=http -topics 'user.*,ttl=48h' -topics 'run.*,ttl=48h' -data DIR
//	app -key key.pem -weir http://127.0.0.1:8080
//
// nginx sends /app/ here and everything else to Weir, so that a browser sees one site.
package main

import (
	"context"
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"weir/stream/sse"
)

var (
	//go:embed page.html
	page      string
	weir      = flag.String("weir", "http://127.0.0.1:8080", "where Weir is")
	addr      = flag.String("addr", "127.0.0.1:8090", "where to listen")
	keyFile   = flag.String("key", "key.pem", "the private key; Weir has its public half")
	signer    jose.Signer // with that key
	bearer    = http.Header{"Authorization": {"Bearer " + os.Getenv("APP_TOKEN")}}
	passwords = map[string]string{"alice": "wonder", "bob": "builder"} // yours are elsewhere
)

// login sets the cookie that tells Weir who it is, and what that user may read and
// publish. The other cookie tells the page, which cannot read the first.
func login(w http.ResponseWriter, r *http.Request) {
	if user := r.FormValue("user"); passwords[user] != "" && passwords[user] == r.FormValue("password") {
		may := map[string][]string{"subscribe": {"user." + user, "run." + user + ".*"}, "publish": {"jobs/" + user, "run." + user + ".*"}}
		claims := map[string]any{"sub": user, "exp": time.Now().Add(12 * time.Hour).Unix(), "weir": may}
		token := must(jwt.Signed(signer).Claims(claims).Serialize())
		http.SetCookie(w, &http.Cookie{Name: "weir", Value: token, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		http.SetCookie(w, &http.Cookie{Name: "user", Value: user, Path: "/app/", Secure: true})
	}
	http.Redirect(w, r, "/app/", http.StatusSeeOther)
}

// A job is an event of the topic jobs. Its subject is the user: Weir lets nobody
// publish one in another's name.
type job struct {
	Subject, ID string
	Time        time.Time
	Data        struct{ Steps int }
}

// work does a job, and says so at each step. After a crash it begins again, and Weir
// answers that it has those steps. It takes none when the run is done, or was aborted.
func work(j job) {
	run := "run." + j.Subject + "." + j.ID
	publish("user."+j.Subject, j.ID, fmt.Sprintf(`{"run":%q}`, run))
	for n := 1; n <= min(j.Data.Steps, 1000); n++ {
		if status, duplicate := publish(run, fmt.Sprint(n), fmt.Sprintf(`{"step":%d,"of":%d}`, n, j.Data.Steps)); status != http.StatusOK {
			return
		} else if !duplicate {
			time.Sleep(100 * time.Millisecond) // the work
		}
	}
	publish(run+"?close=1", "end", `{"state":"done"}`)
}

// publish puts an event in, and tries until Weir answers: under one ID an event is
// in once, however often it is sent, on whatever node.
func publish(topic, id, data string) (status int, duplicate bool) {
	for ; ; time.Sleep(200 * time.Millisecond) {
		r := must(http.NewRequest("POST", *weir+"/t/"+topic, strings.NewReader(data)))
		r.Header = http.Header{"Authorization": bearer["Authorization"], "Content-Type": {"application/json"},
			"Ce-Specversion": {"1.0"}, "Ce-Type": {"app"}, "Ce-Source": {"/app"}, "Ce-Id": {id}}
		if answer, err := http.DefaultClient.Do(r); err == nil {
			var said struct{ Duplicate bool }
			_ = json.NewDecoder(answer.Body).Decode(&said)
			answer.Body.Close()
			if answer.StatusCode < http.StatusTooManyRequests {
				return answer.StatusCode, said.Duplicate
			}
		}
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	flag.Parse()
	block, _ := pem.Decode(must(os.ReadFile(*keyFile)))
	signer = must(jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: must(x509.ParsePKCS8PrivateKey(block.Bytes))}, nil))
	http.HandleFunc("GET /app/{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, page) })
	http.HandleFunc("POST /app/login", login)
	go func() { log.Fatal(http.ListenAndServe(*addr, nil)) }()
	for m, err := range sse.Read(context.Background(), *weir+"/t/jobs?format=json&last_event_id=0", &sse.Options{Header: bearer}) {
		var j job
		if err == nil && m.Event == "message" && json.Unmarshal(m.Data, &j) == nil && time.Since(j.Time) < 24*time.Hour {
			go work(j)
		}
	}
	log.Fatal("Weir says that there will be no more jobs")
}
