package setting

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/alecthomas/kong"
)

// Shown is a flag's value as it may be shown to anybody: without what is secret.
func Shown(flag *kong.Flag) string {
	value := fmt.Sprint(flag.Target.Interface())
	switch {
	case value == "":
		return ""
	case flag.Tag.Has("secret"):
		return "********"
	case flag.Name == "nats-url":
		return hidePasswords(value)
	}
	return value
}

// hidePasswords hides what stands before the @ in a list of URLs, user names
// that are tokens included.
func hidePasswords(urls string) string {
	list := strings.Split(urls, ",")
	for i, s := range list {
		u, err := url.Parse(strings.TrimSpace(s))
		switch {
		case err != nil:
			list[i] = "********" // may hold anything
		case u.User != nil:
			u.User = url.User("********")
			list[i] = strings.ReplaceAll(u.String(), "%2A", "*")
		}
	}
	return strings.Join(list, ",")
}
