// What a management controller does with one machine's report: go run controller.go ADDRESS
//
// docs/management-controller.md has the reasons. The decision is a pure function; whoever takes this
// over puts a Kubernetes client around it.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"
)

// A report that is older than this says nothing: expiryd looks every five minutes.
const fresh = 30 * time.Minute

type date struct {
	NotAfter  time.Time `json:"notAfter"`
	Path      string    `json:"path"`
	RenewedBy string    `json:"renewedBy"`
}

type report struct {
	APIVersion     string    `json:"apiVersion"`
	ObservedAt     time.Time `json:"observedAt"`
	Status         string    `json:"status"`
	Settled        bool      `json:"settled"`
	Earliest       *date     `json:"earliest"`
	MachineRollout *date     `json:"machineRollout"`
}

// decide says what to do with the Machine's machine.cluster.x-k8s.io/certificates-expiry.
func decide(r report, now time.Time) string {
	switch {
	case r.APIVersion != "expiryd.dev/v1":
		return "leave: this is another version of the report"
	case now.Sub(r.ObservedAt) > fresh:
		return "leave: the report is old"
	case !r.Settled:
		return "leave: the machine has not settled"
	case r.Status == "ok" && r.MachineRollout != nil:
		return "set " + r.MachineRollout.NotAfter.UTC().Format(time.RFC3339)
	case r.Status == "degraded" && r.MachineRollout != nil:
		// Something could not be read, so the date may be too late: it only ever brings one forward.
		return "set if earlier " + r.MachineRollout.NotAfter.UTC().Format(time.RFC3339)
	case r.Status == "ok":
		return "remove"
	case r.Status == "none":
		return "leave: the machine takes itself for a worker; see to it"
	default:
		return "leave: the machine has no dates"
	}
}

func main() {
	address := "127.0.0.1:9797"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get("http://" + address + "/expiry")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer answer.Body.Close()
	var r report
	// 503 with status waiting is a report, too.
	if err := json.NewDecoder(answer.Body).Decode(&r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(decide(r, time.Now()))
	// The other rollouts are not this Machine's: rolling it would install the same certificate again.
	if r.Earliest != nil && r.Earliest.RenewedBy == "etcd-rollout" {
		fmt.Println("roll etcd before", r.Earliest.NotAfter.UTC().Format(time.RFC3339))
	}
}
