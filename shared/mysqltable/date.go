package mysqltable

import (
	"errors"
	"fmt"
	"time"
)

var errZeroDate = errors.New("it is a zero date, which no calendar has: repair the row, or set zero_dates: \"null\" for the table in the dataset to extract it as NULL")

const (
	secondsPerDay = 86_400
	microsPerDay  = secondsPerDay * 1e6
)

// parseDate reads YYYY-MM-DD as days since 1970-01-01.
func parseDate(text []byte) (int64, error) {
	if len(text) < len(time.DateOnly) || text[4] != '-' || text[7] != '-' {
		return 0, fmt.Errorf("%q is not a date", text)
	}
	year, ok1 := digits(text[0:4])
	month, ok2 := digits(text[5:7])
	dayOfMonth, ok3 := digits(text[8:10])
	if !ok1 || !ok2 || !ok3 {
		return 0, fmt.Errorf("%q is not a date", text)
	}
	if year == 0 || month == 0 || dayOfMonth == 0 {
		return 0, fmt.Errorf("%q: %w", text, errZeroDate)
	}
	date := time.Date(int(year), time.Month(month), int(dayOfMonth), 0, 0, 0, 0, time.UTC)
	if date.Day() != int(dayOfMonth) || date.Month() != time.Month(month) {
		return 0, fmt.Errorf("%q is a date that no calendar has (stored under ALLOW_INVALID_DATES): repair the row", text)
	}
	return date.Unix() / secondsPerDay, nil
}

// parseDatetime reads YYYY-MM-DD HH:MM:SS[.ffffff] as microseconds since 1970-01-01 00:00:00.
func parseDatetime(text []byte) (int64, error) {
	days, err := parseDate(text)
	if err != nil {
		return 0, err
	}
	if len(text) < len(time.DateTime) || text[10] != ' ' {
		return 0, fmt.Errorf("%q is not a date with time", text)
	}
	clock, err := parseTime(text[11:])
	if err != nil {
		return 0, err
	}
	return days*microsPerDay + clock, nil
}

// parseTime reads [-]H…H:MM:SS[.ffffff] as microseconds.
func parseTime(text []byte) (int64, error) {
	rest, sign := text, int64(1)
	if len(rest) > 0 && rest[0] == '-' {
		rest, sign = rest[1:], -1
	}
	colon := 0
	for colon < len(rest) && rest[colon] != ':' {
		colon++
	}
	if colon+6 > len(rest) || rest[colon+3] != ':' {
		return 0, fmt.Errorf("%q is not a time", text)
	}
	hours, ok1 := digits(rest[:colon])
	minutes, ok2 := digits(rest[colon+1 : colon+3])
	seconds, ok3 := digits(rest[colon+4 : colon+6])
	micros, ok4 := int64(0), true
	if fraction := rest[colon+6:]; len(fraction) > 0 {
		if fraction[0] != '.' || len(fraction) > 7 {
			return 0, fmt.Errorf("%q is not a time", text)
		}
		micros, ok4 = digits(fraction[1:])
		for range 7 - len(fraction) {
			micros *= 10
		}
	}
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return 0, fmt.Errorf("%q is not a time", text)
	}
	return sign * (((hours*60+minutes)*60+seconds)*1e6 + micros), nil
}

func digits(text []byte) (int64, bool) {
	n := int64(0)
	for _, b := range text {
		if b < '0' || b > '9' {
			return 0, false
		}
		n = n*10 + int64(b-'0')
	}
	return n, len(text) > 0
}
