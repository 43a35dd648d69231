OPENQASM 3.0;
// ghz_phase_sum, 2 qubits, 1 layer; written by qfedfm circuits export
include "stdgates.inc";
@qfedfm.input x 2
input float[64] x_0;
input float[64] x_1;
@qfedfm.observable X[0]*X[1]
@qfedfm.observable Y[0]*X[1]
qubit[2] q;
h q[0];
cx q[0], q[1];
rz(x_0) q[0];
rz(x_1) q[1];
