package bell

// restorerFlag: on this architecture a handler must name what it returns to.
const restorerFlag = 0x04000000 // SA_RESTORER
