"A vertical sensor whose counts are positive downwards is reversed, and the ledger says so."
import pytest
from obspy import Inventory, UTCDateTime
from obspy.core.inventory import Channel, Network, Station
from fwinb.data.instruments import find_instrument

@pytest.mark.parametrize('dip, sign, remark', [(-90., 1, ''), (90., -1, 'dip +90: turned over')])
def test_dip(dip, sign, remark):
    channel = Channel('LHZ', '00', 30., 40., 100., 0., azimuth=0., dip=dip, start_date=UTCDateTime(2000, 1, 1))
    inventory = Inventory([Network('XX', [Station('TOY', 30., 40., 100., channels=[channel])])])
    sensor = find_instrument(inventory, 'XX.TOY.00.LHZ', UTCDateTime(2020, 1, 1), UTCDateTime(2020, 1, 2))
    assert (sensor.sign, sensor.remark) == (sign, remark)
