package bell

// restorerFlag: on this architecture the kernel has handlers return by way of the vDSO.
const restorerFlag = 0
