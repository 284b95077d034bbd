// Package strictjson decodes the JSON of requests, and refuses what encoding/json would ignore: an
// unknown field, a field in another case, a field given twice. Such a field would silently have no
// effect. Errors name the field and say what would be right; they quote no values, which could be
// somebody's data.
//
// null as the value of a field means that the field is absent, except for a json.RawMessage.
package strictjson
