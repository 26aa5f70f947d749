#include "textflag.h"

GLOBL fds<>(SB), NOPTR, $264 // int32 by signal number: an eventfd, or -1
GLOBL seen<>(SB), NOPTR, $72 // byte by signal number: 1 when it has come
DATA one<>+0(SB)/8, $1
GLOBL one<>(SB), RODATA, $8

// func handler()
// As in handler_amd64.s; the number is in R0, and the link register leads to rt_sigreturn.
TEXT handler<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVWU R0, R0
	MOVD $seen<>(SB), R1
	MOVD $1, R2
	MOVB R2, (R1)(R0)
	MOVD $fds<>(SB), R1
	MOVW (R1)(R0<<2), R0
	MOVD $one<>(SB), R1
	MOVD $8, R2
	MOVD $64, R8 // write(fd, &one, 8)
	SVC
	RET

// func handlerPC() uintptr
TEXT ·handlerPC(SB), NOSPLIT, $0-8
	MOVD $handler<>(SB), R0
	MOVD R0, ret+0(FP)
	RET

// func restorerPC() uintptr
TEXT ·restorerPC(SB), NOSPLIT, $0-8
	MOVD ZR, ret+0(FP)
	RET

// func arm(signal, fd int)
TEXT ·arm(SB), NOSPLIT, $0-16
	MOVD signal+0(FP), R0
	MOVD fd+8(FP), R2
	MOVD $fds<>(SB), R1
	MOVW R2, (R1)(R0<<2)
	RET

// func take(signal int) bool
TEXT ·take(SB), NOSPLIT, $0-9
	MOVD signal+0(FP), R0
	MOVD $seen<>(SB), R1
	ADD  R0, R1
again:
	LDAXRB (R1), R2
	STLXRB ZR, (R1), R3
	CBNZ R3, again
	MOVB R2, ret+8(FP)
	RET
