OPENQASM 3.0;
// swap_test, 3 qubits, 1 layer; written by qfedfm circuits export
include "stdgates.inc";
@qfedfm.input x 2 1 1
input float[64] x_0;
input float[64] x_1;
@qfedfm.observable Z[0]
qubit[3] q;
ry(x_0) q[1];
ry(x_1) q[2];
h q[0];
cswap q[0], q[1], q[2];
h q[0];
