package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
)

// line is what is read of a line of an invoice.
type line struct {
	Invoice  string    `parquet:"InvoiceNo,optional"`
	Product  string    `parquet:"StockCode,optional"`
	Quantity int64     `parquet:"Quantity,optional"`
	Time     time.Time `parquet:"InvoiceDate,optional,timestamp(nanosecond)"`
	Price    float64   `parquet:"UnitPrice,optional"`
	Customer *float64  `parquet:"CustomerID,optional"`
}

// onlineRetail holds out the latest purchases, tunes on those before, and shows the figures of metrics.json.
func onlineRetail(ctx context.Context, o options, out *strings.Builder) error {
	f, err := os.Open(filepath.Join(o.data, "online-retail", "online_retail_full.parquet"))
	if err != nil {
		return err
	}
	defer f.Close()
	purchases := filepath.Join(o.dir, "online-retail.tsv")
	err = write(purchases, func(w *bufio.Writer) error {
		fmt.Fprintln(w, "customer\tproduct\tquantity\ttime")
		reader := parquet.NewGenericReader[line](f)
		defer reader.Close()
		rows := make([]line, 1024)
		for {
			n, err := reader.Read(rows)
			for _, r := range rows[:n] {
				if r.Customer == nil || strings.HasPrefix(r.Invoice, "C") || r.Quantity <= 0 || r.Price <= 0 {
					continue
				}
				fmt.Fprintf(w, "%.0f\t%s\t%d\t%s\n", *r.Customer, strings.TrimSpace(r.Product), r.Quantity, r.Time.UTC().Format(time.DateTime))
			}
			if err != nil || n == 0 {
				return nil // the reader's end; a damaged file has fewer rows than the table below says
			}
		}
	})
	if err != nil {
		return err
	}
	t, _, err := train(ctx, o, "online-retail", "--interactions", purchases,
		"--user-column", "customer", "--item-column", "product", "--weight-column", "quantity", "--time-column", "time")
	if err != nil {
		return err
	}
	m := t.Metrics
	fmt.Fprintf(out, "\n### Online Retail: the latest purchases\n\n"+
		"`millrace train --interactions online-retail.tsv --weight-column quantity --time-column time`: %d customers, %d products, %d purchases without cancellations; what %d customers\n"+
		"bought last, and had not bought before (%d pairs), from what came earlier.\n\n"+
		"| | recall@20 | ndcg@20 | mrr@20 | hit rate@20 | coverage | popularity bias | settings |\n|---|---:|---:|---:|---:|---:|---:|---|\n| popularity | %s | |\n",
		m.Data.Users, m.Data.Items, m.Data.Rows, m.Model.Users, m.HoldOut.Test, figures(m.Popularity))
	if m.ItemNeighbours != nil {
		fmt.Fprintf(out, "| item neighbours | %s | |\n", figures(*m.ItemNeighbours))
	}
	fmt.Fprintf(out, "| millrace | %s | %s |\n\nrecall@20 lies in %.4f … %.4f with 95 %%.\n", figures(m.Model), settings(m.Settings, len(m.Trials)), m.Confidence.Recall.Low, m.Confidence.Recall.High)
	if s := m.ColdStart.UserSide; s != nil && s.FoldedIn != nil {
		fmt.Fprintf(out, "Customers whom a training has not seen, folded in from half of what they bought: recall@20 %.4f (popularity %.4f).\n", s.FoldedIn.Model.Recall, s.FoldedIn.Baseline.Recall)
	}
	return nil
}
