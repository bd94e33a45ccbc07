package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/internal/durable"
)

func logProveCommand() *command {
	return &command{
		name:    "prove",
		summary: "prove that a certificate is in the record",
		args:    "SERIAL|FILE",
		about: "Makes a proof that a certificate is in the ledger, for somebody who has neither: the entry, its way to the root " +
			"of the log, and the signed checkpoint, in one text (C2SP tlog-proof). log verify --proof checks it, with the key " +
			"that log key gives. The certificate is named by its serial number, or by a file that it is the first one of.",
		examples: []example{
			{"a proof for somebody else", "meshpki log prove pki/services/prod/payment/tls.crt --out payment.tlog-proof"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo),
		flags: common(text("out", "write it to `FILE` instead of standard output")),
		run:   runLogProve,
	}
}

func runLogProve(ctx context.Context, c *call) error {
	args, err := c.arguments(1, 1, "a serial number or a FILE")
	if err != nil {
		return err
	}
	d, err := c.open()
	if err != nil {
		return err
	}
	serial, cert, err := c.serial(args[0])
	if err != nil {
		return err
	}
	p, proof, err := d.Ledger().Prove(ctx, ca.FormatSerial(serial))
	doc := ui.LogProved{Serial: ca.FormatSerial(serial), Proved: err == nil}
	if errors.Is(err, ca.ErrUnknownSerial) || err == nil && cert != nil && string(p.Certificate) != string(cert.Raw) {
		doc.Proved = false
		return errors.Join(c.say(doc), errNo)
	}
	if err != nil {
		return err
	}
	doc.Fill(p.Number, p.Checkpoint.Size, p.Checkpoint.Origin, logEntry(p.Entry, ca.Revoked{}, c.env.Now()))
	doc.Proof = string(proof)
	return c.release(proof, doc, func(file string) ui.Document { doc.File = file; return doc })
}

// release gives bytes to standard output or to the file of --out, and says so; with
// --json it is the document that goes to standard output.
func (c *call) release(data []byte, whole ui.Document, written func(file string) ui.Document) error {
	out := c.String("out")
	switch {
	case c.wantsJSON() && (out == "" || out == "-"):
		return c.say(whole)
	case out == "" || out == "-":
		if _, err := c.format(); err != nil {
			return err
		}
		if _, err := c.env.Stdout.Write(data); err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
		return nil
	}
	if _, err := c.format(); err != nil {
		return err
	}
	if c.within(out) {
		return usagef("--out: %s lies in the state directory; it is to be kept elsewhere", out)
	}
	if err := durable.WriteFile(out, data, 0o644); err != nil {
		return err
	}
	return c.say(written(out))
}

// verifyProof checks a proof without any directory.
func (c *call) verifyProof() error {
	name, key := c.String("proof"), c.String("log-key")
	if name == "" || key == "" || c.IsSet("since") {
		return usagef("--proof and --log-key go together, and without --since").
			withHint("meshpki log key, where the log is, gives the key")
	}
	proof, err := c.readSource(name)
	if err != nil {
		return err
	}
	public := []byte(key)
	if data, err := os.ReadFile(key); err == nil {
		public = data
	} else if !errors.Is(err, fs.ErrNotExist) || strings.Count(key, "+") < 2 {
		return err
	}
	p, err := file.CheckProof(proof, public)
	doc := ui.LogProved{File: name, Checked: true, Proved: err == nil}
	if wrong, ok := errors.AsType[*file.ProofError](err); ok {
		doc.Problem = wrong.Problem
		return errors.Join(c.say(doc), errNo)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	doc.Serial = p.Serial
	doc.Fill(p.Number, p.Checkpoint.Size, p.Checkpoint.Origin, logEntry(p.Entry, ca.Revoked{}, c.env.Now()))
	return c.say(doc)
}

func logCheckpointCommand() *command {
	return &command{
		name:    "checkpoint",
		summary: "give the signed checkpoint, to be kept elsewhere",
		about: "Gives the ledger's newest checkpoint: how many entries there are and the root of the tree over them, signed with " +
			"the log's key (C2SP tlog-checkpoint). Kept where nobody can change it together with the directory, it lets log " +
			"verify --since show that nothing before it was changed.",
		examples: []example{{"keep one", "meshpki log checkpoint --out kept.checkpoint"}},
		exits:    exitsOf(codeDone, codeFailed, codeUsage),
		flags:    common(text("out", "write it to `FILE` instead of standard output")),
		run: func(_ context.Context, c *call) error {
			checkpoint, key, err := c.checkpoint()
			if err != nil {
				return err
			}
			doc := ui.LogCheckpoint{Origin: checkpoint.Origin, Size: checkpoint.Size, Root: checkpoint.Root.String(), Key: key, Checkpoint: string(checkpoint.Raw)}
			return c.release(checkpoint.Raw, doc, func(file string) ui.Document { doc.File = file; return doc })
		},
	}
}

func logKeyCommand() *command {
	return &command{
		name:     "key",
		summary:  "give the log's public key",
		about:    "Gives the key that verifies the ledger's checkpoints and proofs, in one line: origin, hash and key (C2SP signed-note).",
		examples: []example{{"for whoever checks proofs", "meshpki log key --out log.pub"}},
		exits:    exitsOf(codeDone, codeFailed, codeUsage),
		flags:    common(text("out", "write it to `FILE` instead of standard output")),
		run: func(_ context.Context, c *call) error {
			checkpoint, key, err := c.checkpoint()
			if err != nil {
				return err
			}
			doc := ui.LogKey{Origin: checkpoint.Origin, Key: key}
			return c.release([]byte(key+"\n"), doc, func(file string) ui.Document { doc.File = file; return doc })
		},
	}
}

// checkpoint gives the directory's newest checkpoint, and the log's public key.
func (c *call) checkpoint() (file.Checkpoint, string, error) {
	if _, err := c.arguments(0, 0, ""); err != nil {
		return file.Checkpoint{}, "", err
	}
	d, err := c.open()
	if err != nil {
		return file.Checkpoint{}, "", err
	}
	return d.Ledger().Checkpoint()
}
