// step-ca as a program, with a window into its database for the tests that judge us.
//
// Debian has the library of step-ca, and no program of it. What serves here is that library alone; `book` notes in which
// order certificates were stored, and tells on an address of its own what the database says of each.
package main

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sync"

	"github.com/smallstep/certificates/authority/config"
	"github.com/smallstep/certificates/authority/provisioner"
	"github.com/smallstep/certificates/ca"
	_ "github.com/smallstep/certificates/cas/softcas"
	"github.com/smallstep/certificates/db"
)

type book struct {
	*db.DB
	lock    sync.Mutex
	serials []string
}

type entry struct {
	Certificate []byte `json:"certificate"`
	Revoked     bool   `json:"revoked"`
	Reason      int    `json:"reason"`
}

func (b *book) StoreCertificate(certificate *x509.Certificate) error {
	return b.note(certificate, b.DB.StoreCertificate(certificate))
}

func (b *book) StoreCertificateChain(by provisioner.Interface, chain ...*x509.Certificate) error {
	return b.note(chain[0], b.DB.StoreCertificateChain(by, chain...))
}

func (b *book) note(certificate *x509.Certificate, err error) error {
	b.lock.Lock()
	defer b.lock.Unlock()
	if err == nil {
		b.serials = append(b.serials, certificate.SerialNumber.String())
	}
	return err
}

func (b *book) ServeHTTP(answer http.ResponseWriter, _ *http.Request) {
	b.lock.Lock()
	defer b.lock.Unlock()
	entries := []entry{}
	for _, serial := range b.serials {
		one := entry{}
		if certificate, err := b.DB.GetCertificate(serial); err == nil {
			one.Certificate = certificate.Raw
		}
		if told, err := b.DB.Get([]byte("revoked_x509_certs"), []byte(serial)); err == nil {
			var revoked db.RevokedCertificateInfo
			one.Revoked = json.Unmarshal(told, &revoked) == nil
			one.Reason = revoked.ReasonCode
		}
		entries = append(entries, one)
	}
	json.NewEncoder(answer).Encode(entries)
}

func serve(path, window string) error {
	configuration, err := config.LoadConfiguration(path)
	if err != nil {
		return err
	}
	opened, err := db.New(configuration.DB)
	if err != nil {
		return err
	}
	kept := &book{DB: opened.(*db.DB)}
	server, err := ca.New(configuration, ca.WithConfigFile(path), ca.WithDatabase(kept), ca.WithQuiet(true))
	if err != nil {
		return err
	}
	go http.ListenAndServe(window, kept)
	return server.Run()
}

func main() {
	fmt.Fprintln(os.Stderr, serve(os.Args[1], os.Args[2]))
	os.Exit(1)
}
