OPENQASM 3.0;
// hadamard_test, 2 qubits, 1 layer; written by qfedfm circuits export
include "stdgates.inc";
@qfedfm.input x 1
input float[64] x_0;
@qfedfm.weight w 1 1 2
input float[64] w_0;
input float[64] w_1;
@qfedfm.observable X[0]
@qfedfm.observable Y[0]
qubit[2] q;
ry(x_0) q[1];
h q[0];
cry(w_0) q[0], q[1];
crz(w_1) q[0], q[1];
