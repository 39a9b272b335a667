package mysqltable

import (
	"errors"
	"fmt"
	"time"
)

var errZeroDate = errors.New("it is a zero date, which no calendar has: repair the row, or set zero_dates: \"null\" for the table in the dataset to extract it as NULL")

const (
	microsPerHour = 3600 * 1e6
	microsPerDay  = 24 * microsPerHour
)

// parseDate reads YYYY-MM-DD as days since 1970-01-01.
func parseDate(text []byte) (int64, error) {
	if len(text) < len(time.DateOnly) || text[4] != '-' || text[7] != '-' {
		return 0, fmt.Errorf("%q is not a date", text)
	}
	century, years, month, day := two(text), two(text[2:]), two(text[5:]), two(text[8:])
	if century < 0 || years < 0 || month < 0 || day < 0 {
		return 0, fmt.Errorf("%q is not a date", text)
	}
	year := 100*century + years
	if year == 0 || month == 0 || day == 0 {
		return 0, fmt.Errorf("%q: %w", text, errZeroDate)
	}
	if month > 12 || day > daysOf(year, month) {
		return 0, fmt.Errorf("%q is a date that no calendar has (stored under ALLOW_INVALID_DATES): repair the row", text)
	}
	// Howard Hinnant, "chrono-compatible low-level date algorithms", days_from_civil: years begin in March.
	if month -= 3; month < 0 {
		month, year = month+12, year-1
	}
	dayOfYear := (153*month+2)/5 + day - 1
	return 365*year + year/4 - year/100 + year/400 + dayOfYear - 719468, nil
}

func daysOf(year, month int64) int64 {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
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
	hours := two(text[11:])
	micros, ok := belowHours(text[13:])
	if !ok || hours < 0 {
		return 0, fmt.Errorf("%q is not a date with time", text)
	}
	return days*microsPerDay + hours*microsPerHour + micros, nil
}

// parseTime reads [-]H…H:MM:SS[.ffffff] as microseconds.
func parseTime(text []byte) (int64, error) {
	rest, sign := text, int64(1)
	if len(rest) > 0 && rest[0] == '-' {
		rest, sign = rest[1:], -1
	}
	hours, at := int64(0), 0
	for ; at < len(rest) && at < 4 && rest[at] >= '0' && rest[at] <= '9'; at++ {
		hours = 10*hours + int64(rest[at]-'0')
	}
	micros, ok := belowHours(rest[at:])
	if !ok || at == 0 {
		return 0, fmt.Errorf("%q is not a time", text)
	}
	return sign * (hours*microsPerHour + micros), nil
}

// belowHours reads :MM:SS[.ffffff], with one to six digits after the second, as microseconds.
func belowHours(text []byte) (micros int64, ok bool) {
	if len(text) < 6 || len(text) > 13 || len(text) == 7 || text[0] != ':' || text[3] != ':' {
		return 0, false
	}
	minutes, seconds := two(text[1:]), two(text[4:])
	if minutes < 0 || seconds < 0 {
		return 0, false
	}
	if len(text) > 6 {
		if text[6] != '.' {
			return 0, false
		}
		for i := 7; i < 13; i++ {
			digit := byte('0')
			if i < len(text) {
				digit = text[i]
			}
			if digit < '0' || digit > '9' {
				return 0, false
			}
			micros = 10*micros + int64(digit-'0')
		}
	}
	return (60*minutes+seconds)*1e6 + micros, true
}

// two reads two digits; it is negative if they are none.
func two(text []byte) int64 {
	tens, ones := text[0]-'0', text[1]-'0'
	if tens > 9 || ones > 9 {
		return -1
	}
	return 10*int64(tens) + int64(ones)
}
