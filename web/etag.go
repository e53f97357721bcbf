package web

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"sync"
)

// assetTags returns the entity tag of each built file: its content's hash,
// since embedded files have no time.
var assetTags = sync.OnceValue(func() map[string]string {
	tags := make(map[string]string)
	_ = fs.WalkDir(Dist, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name()[0] == '.' {
			return err
		}
		content, err := fs.ReadFile(Dist, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		tags[name] = `"` + hex.EncodeToString(sum[:12]) + `"`
		return nil
	})
	return tags
})
