#include "textflag.h"

GLOBL fds<>(SB), NOPTR, $260 // int32 by signal number: an eventfd, or -1
GLOBL seen<>(SB), NOPTR, $65 // byte by signal number: 1 when it has come
DATA one<>+0(SB)/8, $1
GLOBL one<>(SB), RODATA, $8

// func handler()
// The kernel calls it with the signal's number in DI, on the signal stack, with restorer to return to. It may come between any two
// instructions of Go; what it changes the kernel puts back.
TEXT handler<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVLQZX DI, AX
	LEAQ seen<>(SB), CX
	MOVB $1, (CX)(AX*1)
	LEAQ fds<>(SB), CX
	MOVL (CX)(AX*4), DI
	LEAQ one<>(SB), SI
	MOVL $8, DX
	MOVL $1, AX // write(fd, &one, 8)
	SYSCALL
	RET

// func restorer()
TEXT restorer<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVQ $15, AX // rt_sigreturn
	SYSCALL
	INT $3

// func handlerPC() uintptr
TEXT ·handlerPC(SB), NOSPLIT, $0-8
	LEAQ handler<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func restorerPC() uintptr
TEXT ·restorerPC(SB), NOSPLIT, $0-8
	LEAQ restorer<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func arm(signal, fd int)
TEXT ·arm(SB), NOSPLIT, $0-16
	MOVQ signal+0(FP), AX
	MOVQ fd+8(FP), DX
	LEAQ fds<>(SB), CX
	MOVL DX, (CX)(AX*4)
	RET

// func take(signal int) bool
TEXT ·take(SB), NOSPLIT, $0-9
	MOVQ signal+0(FP), AX
	LEAQ seen<>(SB), CX
	XORL DX, DX
	XCHGB DX, (CX)(AX*1)
	MOVB DX, ret+8(FP)
	RET
