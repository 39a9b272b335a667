package model

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/lake"
)

// Tables of an artifact made elsewhere: the first line names the columns, id and embedding ("[0.1,-2e-3,…]") and, if there are, name and
// bias; any other column is a feature. The order of the rows does not matter.
const (
	ItemsCSV = "items.csv"
	UsersCSV = "users.csv"
)

// maxDerived is the greatest dimension whose Gramian, of d² numbers, is computed here: 32 MB.
const maxDerived = 2048

// maxLine bounds a row: 16,000 numbers of 20 digits and as much again.
const maxLine = 1 << 20

// textEntities gives the rows of a CSV table by id.
func (a *Artifact) textEntities(ctx context.Context, name string) iter.Seq2[Entity, error] {
	return func(yield func(Entity, error) bool) {
		list, err := a.readText(ctx, name)
		if err != nil {
			yield(Entity{}, err)
			return
		}
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// readText reads a CSV table whole, because it need not be sorted. Memory: rows × (4·d + about 100) bytes.
func (a *Artifact) readText(ctx context.Context, name string) (list []Entity, err error) {
	body, err := lake.Open(ctx, a.store, a.files[name])
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	source := &boundedLines{r: body, left: maxLine}
	rows := csv.NewReader(source)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("the line that names the columns: %w", noTable(err))
	}
	columns := slices.Clone(header)
	columns[0] = strings.TrimPrefix(columns[0], "\ufeff") // as spreadsheets write
	id, embedding := slices.Index(columns, "id"), slices.Index(columns, "embedding")
	if id < 0 || embedding < 0 {
		return nil, fmt.Errorf("has columns %.200q: want id and embedding", columns)
	}
	for {
		source.left = maxLine
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		e := Entity{Features: features.Record{}}
		for n, text := range row {
			switch columns[n] {
			case "id":
				e.ID = strings.Clone(text)
			case "embedding":
				e.Embedding, err = parseVector(text, a.Manifest.Dimension)
			case "name":
				e.Name = strings.Clone(text)
			case "bias":
				var bias float64
				if bias, err = strconv.ParseFloat(text, 32); err != nil {
					err = fmt.Errorf("%.40q is no number", text)
				}
				e.Bias = float32(bias)
			default:
				e.Features[columns[n]] = strings.Clone(text)
			}
			if err != nil {
				line, _ := rows.FieldPos(n)
				return nil, fmt.Errorf("line %d: id %.40q: %s: %w", line, row[id], columns[n], err)
			}
		}
		e.Name = cmp.Or(e.Name, e.ID)
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Entity) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

func noTable(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the file is empty")
	}
	return err
}

// parseVector reads "[0.1,-2e-3]".
func parseVector(text string, dimension int) ([]float32, error) {
	inner, opened := strings.CutPrefix(strings.TrimSpace(text), "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if !opened || !closed {
		return nil, fmt.Errorf("%.40q is no vector such as [0.1,-2e-3]", text)
	}
	if n := strings.Count(inner, ",") + 1; n != dimension {
		return nil, fmt.Errorf("has %d numbers, the manifest says %d", n, dimension)
	}
	vector := make([]float32, 0, dimension)
	for number := range strings.SplitSeq(inner, ",") {
		x, err := strconv.ParseFloat(strings.TrimSpace(number), 32)
		if err != nil {
			return nil, fmt.Errorf("%.40q: %w", number, err)
		}
		vector = append(vector, float32(x))
	}
	return vector, nil
}

// boundedLines fails where a row has no end, so that one cannot take all memory.
type boundedLines struct {
	r    io.Reader
	left int
}

func (b *boundedLines) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("a row has more than %d bytes", maxLine)
	}
	n, err := b.r.Read(p)
	b.left -= n
	return n, err
}

// derivedEncoder is the encoder of an artifact that has none. A session's vector is a ridge regression on its items: at α0·|V| = 1 what was not
// looked at weighs, all together, as much as one item that was, and λ is a tenth of an item's mean squared length.
func (a *Artifact) derivedEncoder(ctx context.Context) (*features.Encoder, error) {
	d := a.Manifest.Dimension
	if d > maxDerived {
		return nil, fmt.Errorf("model %s: no %s, and with dimension %d none is derived (at most %d)", a.Manifest.Version, EncoderFile, d, maxDerived)
	}
	gramian, mean := make([]float64, d*d), make([]float64, d)
	items, users := 0, 0
	for e, err := range a.Items(ctx) {
		if err != nil {
			return nil, err
		}
		items++
		for i, x := range e.Embedding {
			for j, y := range e.Embedding {
				gramian[i*d+j] += float64(x) * float64(y)
			}
		}
	}
	for e, err := range a.Users(ctx) {
		if err != nil {
			return nil, err
		}
		users++
		for i, x := range e.Embedding {
			mean[i] += float64(x)
		}
	}
	e := &features.Encoder{
		Format: features.EncoderFormat, Version: a.Manifest.Version, Dimension: d, Alpha0: 1 / float64(max(items, 1)), Items: items, Users: users, WeightUnit: 1,
		Gramian: make([]float32, d*d), MeanUser: make([]float32, d),
	}
	for i := range d {
		e.Lambda += .1 * gramian[i*d+i] / float64(max(items, 1))
		e.MeanUser[i] = float32(mean[i] / float64(max(users, 1)))
	}
	for k, g := range gramian {
		e.Gramian[k] = float32(g)
	}
	return e, nil
}
