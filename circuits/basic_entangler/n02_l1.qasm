OPENQASM 3.0;
// basic_entangler, 2 qubits, 1 layer; written by qfedfm circuits export
include "stdgates.inc";
@qfedfm.input x 2
input float[64] x_0;
input float[64] x_1;
@qfedfm.weight w 1 2
input float[64] w_0;
input float[64] w_1;
@qfedfm.observable Z[0]
@qfedfm.observable Z[1]
qubit[2] q;
ry(x_0) q[0];
ry(x_1) q[1];
rx(w_0) q[0];
rx(w_1) q[1];
cx q[0], q[1];
