package redislog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// maxNotification bounds a message on a channel: see maxInline.
const maxNotification = 1 << 20

// A subscription is a connection on which Redis tells of publications. The
// library's own would come back by itself after a fault, and what it missed
// meanwhile would stay unnoticed.
type subscription struct {
	conn    net.Conn
	r       *bufio.Reader
	timeout time.Duration

	mu sync.Mutex // held while a command is written
}

// subscribe opens a connection of its own to the server of a client.
func subscribe(ctx context.Context, client *redis.Client, timeout time.Duration) (*subscription, error) {
	opts := client.Options()
	dial, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := opts.Dialer(dial, opts.Network, opts.Addr)
	if err != nil {
		return nil, err
	}
	s := &subscription{conn: conn, r: bufio.NewReaderSize(conn, 64<<10), timeout: timeout}
	if opts.Password == "" {
		return s, nil
	}
	auth := []string{"AUTH", opts.Username, opts.Password}
	if opts.Username == "" {
		auth = []string{"AUTH", opts.Password}
	}
	if err := s.send(auth...); err != nil {
		s.close()
		return nil, err
	}
	if _, err := s.next(timeout); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *subscription) close() { _ = s.conn.Close() }

// send writes one command.
func (s *subscription) send(args ...string) error {
	return s.write(appendCommand(nil, args...))
}

func (s *subscription) write(commands []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	_, err := s.conn.Write(commands)
	return err
}

func appendCommand(dst []byte, args ...string) []byte {
	dst = fmt.Appendf(dst, "*%d\r\n", len(args))
	for _, arg := range args {
		dst = fmt.Appendf(dst, "$%d\r\n%s\r\n", len(arg), arg)
	}
	return dst
}

// A notice is what Redis says on a subscription.
type notice struct {
	kind    string // smessage, ssubscribe, sunsubscribe, pong, or +OK and the like
	channel string
	payload []byte
}

// next returns the next notice. It fails when none comes for so long.
func (s *subscription) next(patience time.Duration) (notice, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return notice{}, err
	}
	line, err := s.line()
	if err != nil {
		return notice{}, err
	}
	switch line[0] {
	case '+':
		return notice{kind: strings.ToLower(line[1:])}, nil
	case '-':
		return notice{}, serverError(line[1:])
	case '*', '>':
	default:
		return notice{}, fmt.Errorf("%w: it begins with %.20q", errAnswer, line)
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil || n < 1 || n > 4 {
		return notice{}, fmt.Errorf("%w: a notice of %.20q parts", errAnswer, line[1:])
	}
	parts := make([][]byte, 4)
	for i := range n {
		if parts[i], err = s.part(); err != nil {
			return notice{}, err
		}
	}
	return notice{kind: string(parts[0]), channel: string(parts[1]), payload: parts[2]}, nil
}

// part reads a string or a number.
func (s *subscription) part() ([]byte, error) {
	line, err := s.line()
	if err != nil {
		return nil, err
	}
	switch line[0] {
	case ':', '+':
		return []byte(line[1:]), nil
	case '$':
		n, err := strconv.Atoi(line[1:])
		if err != nil || n < -1 || n > maxNotification {
			return nil, fmt.Errorf("%w: a length of %.20q", errAnswer, line[1:])
		}
		if n < 0 {
			return nil, nil
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(s.r, b); err != nil {
			return nil, err
		}
		return b[:n], nil
	}
	return nil, fmt.Errorf("%w: a part begins with %.20q", errAnswer, line)
}

func (s *subscription) line() (string, error) {
	b, err := s.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("%w: a line does not end", errAnswer)
	case err != nil:
		return "", err
	}
	line := strings.TrimSuffix(string(b), "\r\n")
	if line == "" {
		return "", fmt.Errorf("%w: an empty line", errAnswer)
	}
	return line, nil
}

// serverError is what Redis answered on a subscription, as the library has it.
type serverError string

func (e serverError) Error() string { return string(e) }
func (e serverError) RedisError()   {}
