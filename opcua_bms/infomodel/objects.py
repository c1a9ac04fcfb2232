"""The object types of the battery, row by row."""

from __future__ import annotations

from dataclasses import replace

from opcua_bms.infomodel import statistics as s
from opcua_bms.infomodel import table as t
from opcua_bms.infomodel import units as u
from opcua_bms.infomodel.declare import ObjectTypeDeclaration, Row, Rule
from opcua_bms.infomodel.overrides import FOLDER

ALARM_EVENTS = ("AlarmConditionType",)

COMPONENT_ROWS = (
    t.plain("Connected", "Boolean", "True while the hardware of this component answers."),
    t.plain("DeviceHealth", "DeviceHealthEnumeration", "Health of this component in the words of NAMUR NE 107."),
)

COMPONENT = ObjectTypeDeclaration(
    "BatteryComponentType",
    "BaseObjectType",
    "A part of a battery plant whose connection and health are known.",
    (*COMPONENT_ROWS, t.folder("Diagnostics", "How the component is being read.", "BaseObjectType", Rule.OPTIONAL)),
    abstract=True,
)

BMS_ROWS: tuple[Row, ...] = (
    *t.statistics("bms", also_second=False),
    t.analog("BusVoltage", "V", u.STRING_VOLTAGE, "Voltage of the DC bus.", "bms.bus_voltage"),
    *t.signed(t.analog("BusCurrent", "A", u.BUS_CURRENT, "Current of the DC bus.", "bms.bus_current")),
    *t.signed(t.analog("Power", "kW", u.POWER, "DC power of the plant.", "bms.power")),
    t.analog("StateOfCharge", "%", u.PERCENT, "State of charge of the plant.", "bms.state_of_charge"),
    t.analog("StateOfHealth", "%", u.PERCENT, "State of health of the plant.", "bms.state_of_health"),
    t.analog("ChargeableEnergy", "kW·h", u.ENERGY, "Energy that can still be charged.", "bms.chargeable_energy"),
    t.analog(
        "DischargeableEnergy", "kW·h", u.ENERGY, "Energy that can still be discharged.", "bms.dischargeable_energy"
    ),
    t.analog(
        "MaxChargePowerLimit", "kW", u.POWER_LIMIT, "Highest power allowed for charging.", "bms.max_charge_power_limit"
    ),
    t.analog(
        "MaxDischargePowerLimit",
        "kW",
        u.POWER_LIMIT,
        "Highest power allowed for discharging.",
        "bms.max_discharge_power_limit",
    ),
    t.plain(
        "CircuitBreakerControlWord", "UInt32", "One bit per cluster, from bit 0.", "bms.circuit_breaker_control_word"
    ),
    t.plain(
        "MainCircuitBreakerStatus", "UInt16", "State of the main circuit breaker.", "bms.main_circuit_breaker_status"
    ),
    t.plain("ControlCircuitBreaker", "UInt16", "State of the control circuit breaker.", "bms.control_circuit_breaker"),
    t.word("SystemState", "bms.system_state", "State of the system as the controller gives it."),
    t.word("CommunicationStatus", "bms.communication_status", "Communication faults that the controller sees."),
    t.word("OperationStatus", "bms.operation_status", "What the plant is doing."),
    t.word("PowerLimitState", "bms.power_limit_state", "Reasons for which the power is limited."),
    t.word("AlarmWord", "bms.alarm_word", "Warnings of the controller."),
    t.word("FaultWord", "bms.fault_word", "Faults of the controller."),
    t.plain("Heartbeat", "UInt32", "Counter of the controller that must keep changing.", "bms.heartbeat"),
    t.plain("Life", "UInt32", "Our own counter, written to the controller.", "bms.life"),
)

BMS = ObjectTypeDeclaration(
    "BmsType",
    "BatteryComponentType",
    "A battery plant as a whole.",
    (
        *COMPONENT_ROWS,
        *BMS_ROWS,
        s.OF_ABOVE,
        *t.reported("bms"),
        t.ALARMS,
        t.folder("Diagnostics", "How the plant is being scanned.", "ScanDiagnosticsType"),
        FOLDER,
        t.child("<Stack>", "StackType", "A stack of the plant."),
    ),
    generates=ALARM_EVENTS,
)

CONTAINER_ROWS: tuple[Row, ...] = (
    t.analog(
        "AmbientTemperature",
        "°C",
        u.AMBIENT,
        "Average temperature of the air inside the container.",
        "container.ambient_temperature",
    ),
    t.analog(
        "AmbientHumidity",
        "%",
        u.PERCENT,
        "Average relative humidity of the air inside the container.",
        "container.ambient_humidity",
    ),
    *(
        t.plain(name, "Double", f"Concentration of {gas}, in the unit of the device.", f"container.{column}")
        for name, gas, column in (
            ("CarbonMonoxide", "carbon monoxide", "carbon_monoxide"),
            ("Hydrogen", "hydrogen", "hydrogen"),
            ("Oxygen", "oxygen", "oxygen"),
        )
    ),
    *(
        t.analog(
            f"TemperatureSensor{n}",
            "°C",
            u.AMBIENT,
            f"Ambient temperature sensor {n}.",
            f"container.temperature_sensor_{n}",
        )
        for n in (1, 2, 3)
    ),
    *(
        t.analog(
            f"HumiditySensor{n}", "%", u.PERCENT, f"Ambient humidity sensor {n}.", f"container.humidity_sensor_{n}"
        )
        for n in (1, 2, 3)
    ),
    t.word("EmmuAlarmWord", "container.emmu_alarm_word", "Warnings of the environment unit (EMMU)."),
    t.word("EmmuFaultWord", "container.emmu_fault_word", "Faults of the environment unit (EMMU)."),
)

CONTAINER = ObjectTypeDeclaration(
    "ContainerType", "BaseObjectType", "The container that a stack stands in, and its air.", CONTAINER_ROWS
)

STACK = ObjectTypeDeclaration(
    "StackType",
    "BatteryComponentType",
    "Clusters on one DC bus, in one container.",
    (
        *COMPONENT_ROWS,
        *t.statistics("stack", also_second=False),
        t.folder("Container", "The container that the stack stands in.", "ContainerType"),
        s.OF_ABOVE,
        *t.reported("stack"),
        t.ALARMS,
        t.child("<Cluster>", "ClusterType", "A cluster of the stack."),
    ),
    generates=ALARM_EVENTS,
)

CLUSTER_ROWS: tuple[Row, ...] = (
    t.analog("Voltage", "V", u.STRING_VOLTAGE, "Voltage of the cluster.", "cluster.voltage"),
    *t.signed(t.analog("Current", "A", u.STRING_CURRENT, "Current of the cluster.", "cluster.current")),
    t.analog("StateOfCharge", "%", u.PERCENT, "State of charge of the cluster.", "cluster.state_of_charge"),
    t.analog("StateOfHealth", "%", u.PERCENT, "State of health of the cluster.", "cluster.state_of_health"),
    t.analog(
        "InsulationResistance",
        "Ω",
        u.RESISTANCE,
        "Insulation resistance of the cluster against earth.",
        "cluster.insulation_resistance",
    ),
    t.plain("ContactorState", "UInt16", "State of the contactor: 0 open, 1 closed.", "cluster.contactor_state"),
    t.plain("Installed", "Boolean", "True where a cluster is fitted in this slot.", "cluster.installed"),
    *t.statistics("cluster", also_second=True),
    *t.arrays("cluster"),
    t.word("StatusWord", "cluster.status_word", "States of the cluster's controller."),
    t.word("AlarmWord", "cluster.alarm_word", "Warnings of the cluster's controller."),
    t.word("FaultWord", "cluster.fault_word", "Faults of the cluster's controller."),
    t.plain("Heartbeat", "UInt32", "Counter of the cluster's controller that must keep changing.", "cluster.heartbeat"),
    t.analog("Age", "s", u.AGE, "Time since the oldest value of the cluster was measured.", "cluster.age"),
)

CLUSTER = ObjectTypeDeclaration(
    "ClusterType",
    "BatteryComponentType",
    "A string of packs with its own controller and contactor.",
    (
        *COMPONENT_ROWS,
        *CLUSTER_ROWS,
        s.OF_CLUSTER,
        *t.reported("cluster"),
        t.ALARMS,
        t.child("<Pack>", "PackType", "A pack of the cluster."),
    ),
    generates=ALARM_EVENTS,
)

PACK = ObjectTypeDeclaration(
    "PackType",
    "BatteryComponentType",
    "A module of cells with its measuring board.",
    (
        *COMPONENT_ROWS,
        *t.statistics("pack", also_second=False),
        *t.arrays("pack"),
        t.child("<Cell>", "CellType", "A cell of the pack."),
        t.child("<Sensor>", "SensorType", "A temperature sensor of the pack."),
    ),
)

CELL = ObjectTypeDeclaration(
    "CellType",
    "BaseObjectType",
    "One cell, or one group of cells in parallel that is measured as one.",
    (t.analog("Voltage", "V", u.CELL_VOLTAGE, "Voltage of the cell.", "cell.voltage", "Float"),),
)

SENSOR = ObjectTypeDeclaration(
    "SensorType",
    "BaseObjectType",
    "One temperature sensor of a pack.",
    (t.analog("Temperature", "°C", u.CELL_TEMPERATURE, "Temperature at the sensor.", "sensor.temperature", "Float"),),
)


def _lists(*rows: tuple[str, str, str]) -> tuple[Row, ...]:
    """Arrays without a unit: (name, data type, description)."""
    return tuple(replace(t.plain(*row), rank=1) for row in rows)


SCAN_DIAGNOSTICS = ObjectTypeDeclaration(
    "ScanDiagnosticsType",
    "BaseObjectType",
    "How the plant is being scanned.",
    (
        t.plain("ScanCounter", "UInt64", "Scans published since the start."),
        t.analog("ScanPeriod", "s", u.DURATION, "Time from scan to scan as configured."),
        t.analog("ScanDuration", "s", u.DURATION, "Time that the last scan took."),
        t.analog("ScanLateness", "s", u.DURATION, "How late the last scan was against its schedule."),
        t.plain("JournalFailingSince", "DateTime", "Since when alarms cannot be written to disk; null: they can."),
        t.plain("JournalError", "String", "Why alarms cannot be written; empty: they can."),
        t.plain("JournalUnwritten", "UInt32", "Changes of alarms that are in memory alone."),
        t.child("<Device>", "DeviceDiagnosticsType", "A device that is read."),
    ),
)

DEVICE_DIAGNOSTICS = ObjectTypeDeclaration(
    "DeviceDiagnosticsType",
    "BaseObjectType",
    "The communication with one device.",
    (
        t.plain("State", "DeviceStateEnumeration", "State of the communication."),
        t.analog("RoundTripP50", "s", u.DURATION, "Median time from a request to its answer."),
        t.analog("RoundTripP95", "s", u.DURATION, "Time within which 95 % of the answers came."),
        t.plain("Requests", "UInt64", "Requests sent since the start."),
        t.plain("Timeouts", "UInt64", "Requests that nobody answered in time."),
        t.plain("Exceptions", "UInt64", "Requests that the device refused."),
        t.plain("LastError", "String", "The last error in words; empty if there was none."),
        t.plain("LastGood", "DateTime", "When the device last answered in full."),
        t.plain("Overruns", "UInt64", "Scans left out because the one before took too long."),
        t.analog("Lateness", "s", u.DURATION, "How late its last scan began against its schedule."),
        t.plain("HeartbeatFrozen", "Boolean", "Its heartbeat stands still."),
        t.plain("SerialNumber", "String", "Serial number as the device tells it; empty if it does not."),
        t.analog("ClockOffset", "s", u.OFFSET, "Its clock minus ours; BadNotSupported if it tells none."),
        *_lists(
            ("QuarantinedRegisters", "String", "Registers that it refuses and that are left out."),
            ("FaultNames", "String", "Every kind of fault since the start."),
            ("FaultCounts", "UInt64", "How often each of FaultNames was counted."),
            ("BlockNames", "String", "Blocks of registers that are read together: table and addresses as on the wire."),
            ("BlockRequests", "UInt64", "Requests for each block since the start."),
            ("BlockTimeouts", "UInt64", "Requests for each block that nobody answered in time."),
            ("BlockExceptions", "String", "Exception codes that each block was refused with, and how often."),
            ("BlockRoundTripP50", "Double", "Median time from request to answer of each block, in s."),
            ("BlockRoundTripP95", "Double", "Time within which 95 % of the answers of each block came, in s."),
            ("BlockLastGood", "DateTime", "When each block last arrived."),
        ),
    ),
)
