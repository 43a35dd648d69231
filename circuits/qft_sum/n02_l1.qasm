OPENQASM 3.0;
// qft_sum, 2 qubits, 1 layer; written by qfedfm circuits export
include "stdgates.inc";
@qfedfm.input x 2
input float[64] x_0;
input float[64] x_1;
@qfedfm.observable Z[0]
@qfedfm.observable Z[1]
qubit[2] q;
h q[0];
h q[1];
p(pi*x_0) q[0];
p(pi/2*x_0) q[1];
p(pi*x_1) q[0];
p(pi/2*x_1) q[1];
h q[0];
cp(-pi/2) q[0], q[1];
h q[1];
swap q[0], q[1];
