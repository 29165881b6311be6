package firehose

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// timeFormat is a pattern of Java's DateTimeFormatter, in its English form.
type timeFormat []timeToken

// timeToken is a field (a letter and how often it stands there), or text if the letter is 0.
type timeToken struct {
	letter byte
	count  int
	text   string
}

// timeLetters are the letters that are understood, with the greatest count of each. Java has more (eras,
// quarters, week-based years, zones …); they are refused rather than guessed at.
//
//	y u   year: yy is its last two digits, any other count the number, padded to the count
//	M L   month: M 1, MM 01, MMM Jan, MMMM January, MMMMM J
//	d     day of the month
//	D     day of the year, padded to the count
//	E     day of the week: E to EEE Tue, EEEE Tuesday, EEEEE T
//	a     AM or PM
//	H k   hour 0–23, 1–24
//	K h   hour 0–11, 1–12
//	m s   minute, second
//	S     fraction of a second, as many digits as letters
//	'…'   text; two quotes are one quote
var timeLetters = map[byte]int{
	'y': 4, 'u': 4, 'M': 5, 'L': 5, 'd': 2, 'D': 3, 'E': 5, 'a': 1,
	'H': 2, 'k': 2, 'K': 2, 'h': 2, 'm': 2, 's': 2, 'S': 9,
}

func parseTimeFormat(s string) (timeFormat, error) {
	if s == "" {
		return nil, fmt.Errorf("the pattern is empty")
	}
	var f timeFormat
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			n := 1
			for i+n < len(s) && s[i+n] == c {
				n++
			}
			most, ok := timeLetters[c]
			if !ok {
				return nil, fmt.Errorf("the letter %c is not understood (%s are; text stands in single quotes)", c, "y u M L d D E a H k K h m s S")
			}
			if n > most {
				return nil, fmt.Errorf("%s: at most %d of the letter %c are allowed", strings.Repeat(string(c), n), most, c)
			}
			f = append(f, timeToken{letter: c, count: n})
			i += n
		case c == '\'':
			text, n, err := quoted(s[i:])
			if err != nil {
				return nil, err
			}
			f = append(f, timeToken{text: text})
			i += n
		case strings.IndexByte("[]{}#", c) >= 0:
			return nil, fmt.Errorf("the character %c is reserved (text stands in single quotes)", c)
		default:
			_, n := utf8.DecodeRuneInString(s[i:])
			f = append(f, timeToken{text: s[i : i+n]})
			i += n
		}
	}
	return f, nil
}

// quoted reads the quoted text that s starts with, and tells how many bytes it took.
func quoted(s string) (string, int, error) {
	if strings.HasPrefix(s, "''") {
		return "'", 2, nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), i + 1, nil
	}
	return "", 0, fmt.Errorf("%s has no closing quote", s)
}

func (f timeFormat) format(t time.Time) string {
	var b strings.Builder
	for _, k := range f {
		if k.letter == 0 {
			b.WriteString(k.text)
		} else {
			b.WriteString(k.field(t))
		}
	}
	return b.String()
}

// field formats one field.
func (k timeToken) field(t time.Time) string {
	pad := func(n int) string { return fmt.Sprintf("%0*d", k.count, n) }
	switch k.letter {
	case 'y', 'u':
		if k.count == 2 {
			return pad(t.Year() % 100)
		}
		return pad(t.Year())
	case 'M', 'L':
		if k.count <= 2 {
			return pad(int(t.Month()))
		}
		return name(t.Month().String(), k.count)
	case 'd':
		return pad(t.Day())
	case 'D':
		return pad(t.YearDay())
	case 'E':
		return name(t.Weekday().String(), k.count)
	case 'a':
		return t.Format("PM")
	case 'H':
		return pad(t.Hour())
	case 'k':
		return pad((t.Hour()+23)%24 + 1)
	case 'K':
		return pad(t.Hour() % 12)
	case 'h':
		return pad((t.Hour()+11)%12 + 1)
	case 'm':
		return pad(t.Minute())
	case 's':
		return pad(t.Second())
	default: // 'S'
		return fmt.Sprintf("%09d", t.Nanosecond())[:k.count]
	}
}

// name shortens the name of a month or day as the count says.
func name(full string, count int) string {
	switch {
	case count <= 3:
		return full[:3]
	case count == 4:
		return full
	default:
		return full[:1]
	}
}

// longestTime is a time that no other makes longer, whatever the format: a Wednesday in September, late.
var longestTime = time.Date(2026, time.September, 30, 23, 59, 59, 999_999_999, time.UTC)

// longest is how many characters and bytes a formatted time can have, up to the year 9999.
func (f timeFormat) longest() (chars, bytes int) {
	for _, k := range f {
		if k.letter == 0 {
			chars += utf8.RuneCountInString(k.text)
			bytes += len(k.text)
			continue
		}
		n := k.widest()
		chars, bytes = chars+n, bytes+n
	}
	return chars, bytes
}

// widest is the most characters that a field takes.
func (k timeToken) widest() int {
	switch k.letter {
	case 'y', 'u':
		if k.count == 2 {
			return 2
		}
		return 4
	case 'D':
		return 3
	case 'S':
		return k.count
	case 'E', 'M', 'L':
		switch {
		case k.letter != 'E' && k.count <= 2:
			return 2
		case k.count <= 3:
			return 3
		case k.count == 4:
			return len("September") // and Wednesday
		default:
			return 1
		}
	default:
		return 2
	}
}
