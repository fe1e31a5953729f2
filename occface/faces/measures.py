"""What 68 landmarks say of a face: where it looks, in degrees, and how far mouth, eyes and brows are moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from occface.errors import BadImageError

__all__ = ["HEAD", "HEAD_POINTS", "NAMES", "Measures", "Pose", "head_pose", "measure"]

#: The iBUG numbers of the points that no expression moves far: the corners of the eyes, the root and the tip of the nose, and
#: its lower edge. Points of the jaw are left out, for where the cheek ends in a picture is no fixed place of a head.
HEAD_POINTS = (36, 39, 42, 45, 27, 30, 31, 33, 35)

#: Where they lie on a generic head, (9, 3) in cm: x to the picture's right, y down, z towards the camera. The places are
#: vertices of MediaPipe's canonical face model (Google, Apache-2.0): 33, 133, 362, 263, 168, 4, 98, 2 and 327.
HEAD = np.array(
    [
        [-4.446, -2.664, 3.173],
        [-1.856, -2.585, 3.758],
        [1.856, -2.585, 3.758],
        [4.446, -2.664, 3.173],
        [0.0, -3.271, 5.236],
        [0.0, 0.463, 7.587],
        [-1.406, 1.714, 5.241],
        [0.0, 2.089, 6.058],
        [1.406, 1.714, 5.241],
    ]
)

#: What `Measures.values` holds, in this order.
NAMES = ("yaw", "pitch", "mouth_lift", "mouth_opening", "eye_opening", "brow_height")

_CENTRED = HEAD - HEAD.mean(axis=0)
_INVERSE = np.linalg.pinv(_CENTRED)


@dataclass(frozen=True)
class Pose:
    """Where a face looks, in degrees.

    Attributes
    ----------
    yaw : float
        Positive where the face looks to the picture's right.
    pitch : float
        Positive where it looks down.
    roll : float
        Positive where the head leans to the picture's right: it is turned clockwise.
    """

    yaw: float
    pitch: float
    roll: float


def head_pose(landmarks: np.ndarray) -> Pose:
    """Return where a face looks.

    The nine points of `HEAD` are fitted to the landmarks by an affine camera, and the rotation nearest to that camera is
    taken: a head far away from its camera, shrunk and turned. A person's yaw is over- or underrated as far as their nose
    is longer or shorter than the generic one's.

    Parameters
    ----------
    landmarks : numpy.ndarray
        (68, 2), in pixels of the picture or of the crop; only their arrangement counts.

    Raises
    ------
    BadImageError
        If the points lie on one line.

    Examples
    --------
    >>> landmarks = np.zeros((68, 2))
    >>> landmarks[list(HEAD_POINTS)] = HEAD[:, :2]
    >>> abs(head_pose(landmarks).yaw) < 1e-6
    True
    """
    points = np.asarray(landmarks, dtype=np.float64)[list(HEAD_POINTS)]
    camera = ((points - points.mean(axis=0)).T @ _INVERSE.T).reshape(2, 3)
    left, strengths, right = np.linalg.svd(camera, full_matrices=False)
    if not strengths[1] > 1e-9 * max(1.0, strengths[0]):
        raise BadImageError("the landmarks found lie on one line: this is no face")
    x, y = left @ right
    z = np.cross(x, y)
    # The third row is where the camera lies as seen from the head, which leaning to a side does not change: the head is turned
    # about its own vertical axis first, then bowed, then leaned.
    yaw = np.arctan2(-z[0], z[2])
    pitch = np.arcsin(np.clip(-z[1], -1, 1))
    roll = np.arctan2(-x[1], y[1])
    return Pose(*(float(np.degrees(angle)) for angle in (yaw, pitch, roll)))


@dataclass(frozen=True)
class Measures:
    """What is measured of a face; lengths are in units of the distance of the eyes' centres, seen from the front.

    Attributes
    ----------
    pose : Pose
        Where the face looks.
    mouth_width : float
        From corner to corner.
    mouth_opening : float
        Between the inner edges of the lips, mean of three places.
    mouth_lift : float
        How far the corners lie above the middle of the lips.
    eye_opening : float
        Between the lids, mean of two places of each eye.
    brow_height : float
        From the centres of the eyes up to the brows.
    """

    pose: Pose
    mouth_width: float
    mouth_opening: float
    mouth_lift: float
    eye_opening: float
    brow_height: float

    @property
    def values(self) -> np.ndarray:
        """The measures named by `NAMES`, (6,) float64."""
        moved = (self.mouth_lift, self.mouth_opening, self.eye_opening, self.brow_height)
        return np.array([self.pose.yaw, self.pose.pitch, *moved])


def measure(landmarks: np.ndarray) -> Measures:
    """Measure a face by its 68 landmarks.

    What is seen foreshortened is compared with what is foreshortened alike: widths with the distance of the eyes, heights
    with that distance divided by the cosine of the yaw.

    Parameters
    ----------
    landmarks : numpy.ndarray
        (68, 2), in pixels of the picture or of the crop.

    Raises
    ------
    BadImageError
        If the points lie on one line, or the eyes in one place.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    pose = head_pose(points)
    eyes = np.stack([points[36:42].mean(axis=0), points[42:48].mean(axis=0)])
    across = eyes[1] - eyes[0]
    distance = float(np.hypot(*across))
    if not distance > 0:
        raise BadImageError("the landmarks of both eyes lie in one place: this is no face")
    down = np.array([-across[1], across[0]]) / distance
    unit = distance / max(np.cos(np.radians(pose.yaw)), 0.5)
    height = points @ down / unit
    corners, lips = height[[48, 54]].mean(), height[[51, 57, 62, 66]].mean()
    return Measures(
        pose=pose,
        mouth_width=float(np.hypot(*(points[54] - points[48]))) / distance,
        mouth_opening=float((height[[65, 66, 67]] - height[[63, 62, 61]]).mean()),
        mouth_lift=float(lips - corners),
        eye_opening=float((height[[41, 40, 47, 46]] - height[[37, 38, 43, 44]]).mean()),
        brow_height=float(height[36:48].mean() - height[17:27].mean()),
    )
