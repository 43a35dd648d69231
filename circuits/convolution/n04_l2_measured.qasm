OPENQASM 3.0;
// convolution, 4 qubits, 2 layers; written by qfedfm circuits export
include "stdgates.inc";
bit m_1;
bit m_2;
bit m_3;
@qfedfm.fixed parameters
@qfedfm.observable X[0]
@qfedfm.observable Y[0]
@qfedfm.observable Z[0]
qubit q_0;
qubit q_1;
qubit q_2;
qubit q_3;
ry(0.741629) q_0;
ry(-1.658334) q_1;
ry(2.224888) q_2;
ry(-0.175075) q_3;
ry(-2.575038) q_0;
ry(1.308184) q_1;
cx q_0, q_1;
rz(-1.091779) q_1;
cx q_0, q_1;
h q_0;
h q_1;
cx q_0, q_1;
rz(2.791443) q_1;
cx q_0, q_1;
h q_0;
h q_1;
ry(-2.575038) q_2;
ry(1.308184) q_3;
cx q_2, q_3;
rz(-1.091779) q_3;
cx q_2, q_3;
h q_2;
h q_3;
cx q_2, q_3;
rz(2.791443) q_3;
cx q_2, q_3;
h q_2;
h q_3;
m_3 = measure q_3;
ry(-2.575038) q_1;
ry(1.308184) q_2;
cx q_1, q_2;
rz(-1.091779) q_2;
cx q_1, q_2;
h q_1;
h q_2;
cx q_1, q_2;
rz(2.791443) q_2;
cx q_1, q_2;
h q_1;
m_1 = measure q_1;
h q_2;
if (m_1) { rz(0.39148) q_0; }
if (m_1) { rx(-2.008484) q_0; }
if (m_3) { rz(0.39148) q_2; }
if (m_3) { rx(-2.008484) q_2; }
ry(1.874738) q_0;
ry(-0.525225) q_2;
cx q_0, q_2;
rz(-2.925188) q_2;
cx q_0, q_2;
h q_0;
h q_2;
cx q_0, q_2;
rz(0.958034) q_2;
cx q_0, q_2;
h q_0;
h q_2;
m_2 = measure q_2;
if (m_2) { rz(-1.441929) q_0; }
if (m_2) { rx(2.441293) q_0; }
