// Package rights says who may read and who may publish what, and until when.
//
// A right is shown by a token of the operator (a flag, or a line of the token
// file), by a ticket that was made from such a token, or by a JSON Web Token.
// It comes in a request: see [Rights.Holder]. What a right allows is a list of
// grants: see [Grant].
//
// The package reads credentials and nothing else of a request. It serves no
// route, and it ends no stream: its caller asks [Rights.Holds] after a
// [Rights.Reload] and ends the streams whose right has gone.
package rights
