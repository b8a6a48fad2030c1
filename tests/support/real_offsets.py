"""What the real Earth Search items state of their digital numbers, read off by eye."""

from __future__ import annotations

# id -> baseline, what must be added to the reflectance DNs. Read off the items by eye: where Earth Search
# subtracted the offset, nothing is to be done; in S2B_33TWN_20220226 it is still in the pixels.
EARTH_SEARCH = {
    "S2A_32TMS_20221207_0_L2A": (5.09, 0),
    "S2A_33TWN_20161202_0_L2A": (0.01, 0),
    "S2A_33TWN_20171005_0_L2A": (0.01, 0),
    "S2A_33TWN_20181119_0_L2A": (2.10, 0),
    "S2A_33TWN_20190707_1_L2A": (2.12, 0),
    "S2A_33TWN_20200202_0_L2A": (2.13, 0),
    "S2A_33TWN_20210328_0_L2A": (2.14, 0),
    "S2A_33TWN_20210629_0_L2A": (3.00, 0),
    "S2A_33TWN_20220122_0_L2A": (3.01, 0),
    "S2A_OPER_MSI_L2A_TL_2APS_20230602T025701_A041483_T01WCR": (5.09, -1000),
    "S2B_33TWN_20180521_1_L2A": (2.07, 0),
    "S2B_33TWN_20180806_0_L2A": (0.01, 0),
    "S2B_33TWN_20181005_0_L2A": (2.08, 0),
    "S2B_33TWN_20181104_0_L2A": (2.09, 0),
    "S2B_33TWN_20190503_0_L2A": (2.11, 0),
    "S2B_33TWN_20220130_0_L2A": (4.00, 0),
    "S2B_33TWN_20220226_0_L2A": (4.00, -1000),
}
