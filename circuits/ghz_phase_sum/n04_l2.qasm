OPENQASM 3.0;
// ghz_phase_sum, 4 qubits, 2 layers; written by qfedfm circuits export
include "stdgates.inc";
@qfedfm.input x 4
input float[64] x_0;
input float[64] x_1;
input float[64] x_2;
input float[64] x_3;
@qfedfm.observable X[0]*X[1]*X[2]*X[3]
@qfedfm.observable Y[0]*X[1]*X[2]*X[3]
qubit[4] q;
h q[0];
cx q[0], q[1];
cx q[1], q[2];
cx q[2], q[3];
rz(x_0) q[0];
rz(x_1) q[1];
rz(x_2) q[2];
rz(x_3) q[3];
rz(x_0) q[0];
rz(x_1) q[1];
rz(x_2) q[2];
rz(x_3) q[3];
