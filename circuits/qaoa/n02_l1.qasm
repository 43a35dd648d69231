OPENQASM 3.0;
// qaoa, 2 qubits, 1 layer; written by qfedfm circuits export
include "stdgates.inc";
@qfedfm.weight w 1 2
input float[64] w_0;
input float[64] w_1;
@qfedfm.observable 0.5 - 0.5*Z[0]*Z[1]
qubit[2] q;
h q[0];
h q[1];
cx q[0], q[1];
rz(w_0) q[1];
cx q[0], q[1];
rx(w_1) q[0];
rx(w_1) q[1];
