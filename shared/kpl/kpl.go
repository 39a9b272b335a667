// Package kpl takes apart records that the Kinesis Producer Library aggregated.
// Format: https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md
package kpl

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

var magic = []byte{0xF3, 0x89, 0x9A, 0xC2}

// Field numbers of the messages AggregatedRecord and Record.
const (
	aggregatedRecords = 3
	recordData        = 3
)

// ErrDamaged says that a record claims to be aggregated and is not whole.
var ErrDamaged = errors.New("an aggregated record whose MD5 or structure is wrong")

// Aggregated says whether a record claims to be aggregated; nothing that begins so is JSON.
func Aggregated(data []byte) bool { return bytes.HasPrefix(data, magic) }

// Split returns the user records of an aggregated record, in order.
func Split(data []byte) ([][]byte, error) {
	if !Aggregated(data) || len(data) < len(magic)+md5.Size {
		return nil, ErrDamaged
	}
	message, sum := data[len(magic):len(data)-md5.Size], data[len(data)-md5.Size:]
	if got := md5.Sum(message); !bytes.Equal(got[:], sum) {
		return nil, fmt.Errorf("%w: MD5 %x, it says %x", ErrDamaged, got, sum)
	}
	var list [][]byte
	err := eachBytes(message, aggregatedRecords, func(record []byte) error {
		return eachBytes(record, recordData, func(payload []byte) error {
			list = append(list, payload)
			return nil
		})
	})
	return list, err
}

// eachBytes gives every value of one length-delimited field of a message and skips all other fields.
func eachBytes(message []byte, field protowire.Number, give func([]byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrDamaged, protowire.ParseError(n))
		}
		message = message[n:]
		if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
			return fmt.Errorf("%w: %w", ErrDamaged, protowire.ParseError(n))
		}
		if number == field && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(message)
			if err := give(value); err != nil {
				return err
			}
		}
		message = message[n:]
	}
	return nil
}
